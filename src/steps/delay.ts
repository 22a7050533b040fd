import type { StepType } from '../engine/step.js'
import { parseDuration } from '../platform/duration.js'

/** Waits for a while and hands on what came in. */
export function delay(): StepType {
  return {
    name: 'delay',
    title: 'Delay',
    category: 'control',
    summary: 'Waits for a while, then hands its input on. The wait survives restarts.',
    stepClass: 'pure',
    params: PARAMS,
    async run(params, step) {
      await step.sleepUntil(new Date(step.now().getTime() + parseDuration(String(params.duration))))
      return { output: step.input }
    },
  }
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['duration'],
  properties: {
    duration: {
      type: 'string',
      format: 'go-duration',
      description: 'How long to wait: numbers with units ns, us, ms, s, m, h.',
      examples: ['30s', '1h30m', '500ms'],
    },
  },
}
