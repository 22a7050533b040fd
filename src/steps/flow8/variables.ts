import type { StepType } from '../../engine/step.js'
import type { JsonObject } from '../../platform/json.js'

/** Gives names to values, for the layers behind it. */
export function variables(): StepType {
  return {
    name: 'var',
    title: 'Variables',
    category: 'data',
    summary: 'Puts out the values that it is given, under their names.',
    stepClass: 'pure',
    params: PARAMS,
    output: OUTPUT,
    async run({ values }) {
      return { output: values as JsonObject }
    },
  }
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['values'],
  properties: {
    values: {
      type: 'object',
      maxProperties: 1_000,
      description: 'Values by name: any JSON, with expressions.',
      examples: [{ greeting: 'Hello {{ $prev.args.name }}', limit: 10 }],
    },
  },
}

const OUTPUT = { type: 'object', description: 'The values, by name.' }
