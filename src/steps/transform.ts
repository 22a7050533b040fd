import type { StepContext, StepType } from '../engine/step.js'
import type { Json, JsonObject } from '../platform/json.js'
import { readPath } from './json-path.js'

/** Makes new data of what came in, by a script or by a mapping of paths. */
export function transform(): StepType {
  return {
    name: 'transform',
    title: 'Transform',
    category: 'data',
    summary: 'Turns the incoming data into other data, by a script or by a mapping of paths.',
    stepClass: 'pure',
    codeParams: ['script'],
    params: PARAMS,
    async run(params, step) {
      return { output: await output(params, step) }
    },
  }
}

async function output({ script, mapping }: JsonObject, step: StepContext): Promise<Json> {
  if (script !== undefined) return await step.script(String(script))
  const entries = Object.entries(mapping as Record<string, Json>)
  return Object.fromEntries(
    entries.map(([name, path]) => [name, typeof path === 'string' ? readPath(path, step.input) : path]),
  )
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  anyOf: [{ required: ['script'] }, { required: ['mapping'] }],
  dependentSchemas: { script: { properties: { mapping: false } } },
  properties: {
    script: {
      type: 'string',
      minLength: 1,
      description:
        'JavaScript: a function body that returns the output, or one expression. Sees input, shared, results and secrets.',
      examples: ['return input.body.items.map(item => item.id)'],
    },
    mapping: {
      type: 'object',
      description:
        "Output members by name, each a path into the input ($, .name, ['name'], [n], [*]), or a number, boolean, list or object taken as it is. A path that leads nowhere gives null; one with [*] gives a list.",
      additionalProperties: { type: ['string', 'number', 'boolean', 'object', 'array', 'null'], format: 'json-path' },
      examples: [{ result: '$.data.items', names: '$.data.items[*].name' }],
    },
  },
}
