import type { StepType } from '../engine/step.js'
import { DURATION_PARAMS, durationGiven, ONE_DURATION } from './duration-params.js'

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
      await step.sleepUntil(new Date(step.now().getTime() + durationGiven(params)))
      return { output: step.input }
    },
  }
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  oneOf: ONE_DURATION,
  properties: DURATION_PARAMS,
}
