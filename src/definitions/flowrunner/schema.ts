import type { StepRegistry, StepType } from '../../engine/step.js'
import { isJsonObject, type JsonSchema } from '../../platform/json.js'

const duration = { type: 'string', pattern: '^[0-9]+(ns|us|ms|s|m|h)$', examples: ['500ms', '5s'] }
const code = { type: 'string', description: 'JavaScript.' }

const batch = {
  type: 'object',
  description: 'Runs the node once per item of a list.',
  required: ['strategy'],
  additionalProperties: false,
  properties: {
    strategy: { enum: ['serial', 'async', 'parallel', 'worker_pool'] },
    max_parallel: { type: 'integer', minimum: 1, description: 'Items at a time; 64 unless said otherwise.' },
    'x-collect': {
      type: 'boolean',
      description: 'False: the outputs of the items are not kept; the node answers {total, succeeded, failed}.',
    },
  },
}

const retry = {
  type: 'object',
  description: 'Tries again after a failure.',
  additionalProperties: false,
  properties: {
    max_retries: { type: 'integer', minimum: 0, description: 'Attempts in all, the first included.' },
    wait: { ...duration, description: 'The pause between two attempts.' },
  },
}

const hooks = {
  type: 'object',
  description: "JavaScript around the node's own work; exec replaces it.",
  additionalProperties: false,
  properties: { prep: code, exec: code, post: code },
}

const run = {
  type: 'object',
  description: 'How runs of this flow are to be treated.',
  additionalProperties: false,
  properties: {
    priority: {
      type: 'integer',
      minimum: -100,
      maximum: 100,
      description: 'What is higher starts first; 0 by default.',
    },
    tag: {
      type: 'string',
      pattern: '^[a-z0-9][a-z0-9_-]{0,62}$',
      description: 'Which workers may take the runs.',
      examples: ['gpu'],
    },
    concurrency: {
      type: 'object',
      description: 'How many runs with the same key go on at the same time; the others wait.',
      required: ['limit'],
      additionalProperties: false,
      properties: {
        key: {
          type: 'string',
          maxLength: 1_000,
          description: 'A text with members of the input. Absent: all runs of the flow share one limit.',
          examples: ['${input.customer_id}'],
        },
        limit: { type: 'integer', minimum: 1, maximum: 1_000 },
      },
    },
  },
}

const guarantee = {
  const: 'at_most_once',
  description:
    'The step never runs twice: after a crash in its middle its outcome is unknown, and the flow goes on along the edge unknown or error.',
}

/**
 * A JSON Schema (2020-12) by which editors complete and explain definitions as they are typed. It knows the shape, the node types and
 * their parameters, but is milder than `compile`: any parameter may be an expression, and members may be left empty.
 */
export function flowDefinitionSchema(registry: StepRegistry): JsonSchema {
  const types = registry.forFlows()
  const text = { type: ['string', 'number'] }
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'FlowRunner flow definition',
    type: 'object',
    required: ['metadata', 'nodes'],
    additionalProperties: false,
    patternProperties: { '^(x-|\\.)': {} },
    properties: {
      'x-run': run,
      metadata: { type: 'object', required: ['name'], properties: { name: text, description: text, version: text } },
      nodes: { type: 'object', minProperties: 1, additionalProperties: { $ref: '#/$defs/node' } },
    },
    $defs: {
      node: {
        type: 'object',
        required: ['type'],
        additionalProperties: false,
        properties: {
          type: { oneOf: types.map(({ name, summary }) => ({ const: name, description: summary })) },
          params: { type: ['object', 'null'] },
          next: {
            type: ['object', 'null'],
            description: 'Action to the node that follows.',
            additionalProperties: { type: 'string', minLength: 1 },
          },
          batch,
          retry,
          hooks,
          'x-guarantee': guarantee,
        },
        allOf: types.map(paramsOf),
      },
    },
  }
}

/** The parameters by name and meaning only: an expression has the type of a text, whatever it amounts to. */
function paramsOf({ name, params }: StepType): JsonSchema {
  const known = isJsonObject(params.properties) ? Object.entries(params.properties) : []
  const explained = known.map(([parameter, schema]) => {
    const { description, examples } = isJsonObject(schema) ? schema : {}
    return [parameter, { ...(description && { description }), ...(examples && { examples }) }] as const
  })
  return {
    if: { required: ['type'], properties: { type: { const: name } } },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { properties: { params: { properties: Object.fromEntries(explained) } } },
  }
}
