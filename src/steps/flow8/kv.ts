import type { StepType } from '../../engine/step.js'
import type { Json, JsonObject, JsonSchema } from '../../platform/json.js'
import { type FlowKeyValues, KEY_VALUE_SCOPES, type KeyValuePlace, type KeyValueScope } from '../ports.js'

/** The steps that read and write key-value entries of a flow, of its group, or of the whole account. */
export function kvSteps(entries: FlowKeyValues): StepType[] {
  return [kvGet(entries), kvSet(entries), kvAppend(entries)]
}

function kvGet(entries: FlowKeyValues): StepType {
  return {
    name: 'kv-get',
    title: 'KV get',
    category: 'kv',
    summary: 'Reads a key-value entry.',
    stepClass: 'pure',
    params: params(['key'], {
      scope: {
        ...SCOPE,
        description:
          'Whose entry: global, flow_group or flow. Absent: what the flow sees under the key, its own or one that it inherits.',
      },
    }),
    output: outputOf({
      value: { description: 'The value; null where there is none, `***` where it is a secret.' },
      found: { type: 'boolean', description: 'Whether there is an entry.' },
    }),
    async run(params, step) {
      const value = await entries.get(step.run, {
        ...placeOf(params),
        scope: params.scope as KeyValueScope | undefined,
      })
      return { output: { value: value ?? null, found: value !== undefined } }
    },
  }
}

function kvSet(entries: FlowKeyValues): StepType {
  return {
    name: 'kv-set',
    title: 'KV set',
    category: 'kv',
    summary: 'Writes a key-value entry.',
    stepClass: 'transactional',
    params: params(['key', 'value'], {
      value: { description: 'What to store: any JSON. Secrets in it are masked.', examples: [{ page: 2 }] },
      scope: WRITTEN_SCOPE,
      ttlSeconds: {
        type: 'number',
        exclusiveMinimum: 0,
        maximum: 3_155_760_000,
        description: 'How long the entry lives. Absent: for ever.',
        examples: [3600],
      },
    }),
    output: outputOf({ ...WRITTEN, value: { description: 'What was stored.' } }),
    async run(params, step) {
      const { ttlSeconds } = params
      const value = step.mask(params.value as Json)
      const expiresAt =
        ttlSeconds === undefined ? undefined : new Date(step.now().getTime() + Number(ttlSeconds) * 1_000)
      const place = placeOf(params)
      const written = await joined(entries, step.transaction).set(step.run, place, value, expiresAt)
      return { output: { key: place.key, value, ...written } }
    },
  }
}

function kvAppend(entries: FlowKeyValues): StepType {
  return {
    name: 'kv-append',
    title: 'KV append',
    category: 'kv',
    summary: 'Appends a value to the list in a key-value entry.',
    stepClass: 'transactional',
    params: params(['key', 'value'], {
      value: { description: 'What to append: any JSON. Secrets in it are masked.', examples: [{ order: 7 }] },
      scope: WRITTEN_SCOPE,
    }),
    output: outputOf({
      ...WRITTEN,
      appended: { description: 'What was appended.' },
      length: { type: 'integer', description: 'How long the list is now.' },
    }),
    async run(params, step) {
      const appended = step.mask(params.value as Json)
      const place = placeOf(params)
      const written = await joined(entries, step.transaction).append(step.run, place, appended)
      return { output: { key: place.key, appended, ...written } }
    },
  }
}

function joined(
  entries: FlowKeyValues,
  transaction: Parameters<FlowKeyValues['within']>[0] | undefined,
): FlowKeyValues {
  return transaction ? entries.within(transaction) : entries
}

function placeOf({ key, scope = 'flow', scopeKey }: JsonObject): KeyValuePlace {
  return {
    key: String(key),
    scope: scope as KeyValueScope,
    ...(scopeKey !== undefined && { scopeKey: String(scopeKey) }),
  }
}

const SCOPE = { type: 'string', enum: [...KEY_VALUE_SCOPES], examples: ['global'] }

const WRITTEN_SCOPE = {
  ...SCOPE,
  default: 'flow',
  description:
    "Who sees the entry: all flows (global), those of the flow's group (flow_group), or the flow alone (flow).",
}

function params(required: string[], more: Record<string, JsonSchema>): JsonSchema {
  return {
    type: 'object',
    additionalProperties: false,
    required,
    dependentSchemas: {
      scopeKey: { required: ['scope'], properties: { scope: { enum: ['flow_group', 'flow'] } } },
    },
    properties: {
      key: {
        type: 'string',
        minLength: 1,
        maxLength: 512,
        pattern: '^[^\\u0000]*$',
        description: 'The key of the entry.',
        examples: ['cursor'],
      },
      scopeKey: {
        type: 'string',
        minLength: 1,
        maxLength: 64,
        pattern: '^[^\\u0000]*$',
        description: 'The id of another group or flow of the account. Absent: of the flow itself.',
        examples: ['flow-123'],
      },
      ...more,
    },
  }
}

const WRITTEN: Record<string, JsonSchema> = {
  key: { type: 'string', description: 'The key of the entry.' },
  scope: { type: 'string', enum: [...KEY_VALUE_SCOPES], description: 'Who sees it.' },
  scopeKey: { type: ['string', 'null'], description: 'The id of the group or flow; null where all flows see it.' },
  version: { type: 'integer', description: '1 when the entry is made, one more with every change.' },
}

function outputOf(properties: Record<string, JsonSchema>): JsonSchema {
  return { type: 'object', required: Object.keys(properties), properties }
}
