import { type StepContext, StepError, type StepResult, type StepType } from '../engine/step.js'
import { parseDuration } from '../platform/duration.js'
import type { Json, JsonObject } from '../platform/json.js'
import type { KeyValueStore } from './ports.js'
import { OPERATORS, query } from './store-query.js'

/** Keeps values by key for the account, across runs and flows. */
export function store(entries: KeyValueStore): StepType {
  return {
    name: 'store',
    title: 'Store',
    category: 'kv',
    summary: 'Reads and writes values that outlive the run, by key.',
    stepClass: 'transactional',
    classOf: ({ operation }) => (READS.has(String(operation)) ? 'pure' : 'transactional'),
    sharedAs: 'store_result',
    params: PARAMS,
    run: (params, step) =>
      OPERATIONS[params.operation as Operation]({
        entries: step.transaction ? entries.within(step.transaction) : entries,
        params,
        step,
        key: String(params.key),
      }),
  }
}

interface Call {
  entries: KeyValueStore
  params: JsonObject
  step: StepContext
  key: string
}

type Operation = 'get' | 'set' | 'delete' | 'list' | 'clear' | 'query' | 'increment' | 'append' | 'save' | 'load'

const READS: ReadonlySet<string> = new Set<Operation>(['get', 'load', 'list', 'query'])

async function get({ entries, step, key }: Call): Promise<StepResult> {
  const value = await entries.get(step.run, key)
  if (value === undefined) throw new StepError(`key not found: ${key}`, { code: 'key_not_found', retryable: false })
  return { output: value }
}

async function set({ entries, params, step, key }: Call): Promise<StepResult> {
  const value = step.mask(params.value as Json)
  await entries.set(step.run, key, value, expiry(params.ttl, step.now()))
  return { output: value, shared: { [key]: value } }
}

const OPERATIONS: Readonly<Record<Operation, (call: Call) => Promise<StepResult>>> = {
  get,
  load: get,
  set,
  save: set,

  async delete({ entries, step, key }) {
    return { output: { deleted: await entries.delete(step.run, key), key } }
  },

  async list({ entries, step }) {
    return { output: (await entries.keys(step.run)).sort() }
  },

  async clear({ entries, step }) {
    return { output: { cleared: await entries.clear(step.run) } }
  },

  async query({ entries, params, step }) {
    const { filter, sort, limit } = params
    return {
      output: query(await entries.entries(step.run), {
        filter: filter as JsonObject | undefined,
        sort: sort as string | undefined,
        limit: limit as number | undefined,
      }),
    }
  },

  async increment({ entries, params, step, key }) {
    const amount = Number(params.amount ?? 1)
    return { output: { key, new_value: await entries.increment(step.run, key, amount), incremented: amount } }
  },

  async append({ entries, params, step, key }) {
    const value = step.mask(params.value as Json)
    await entries.append(step.run, key, value)
    return { output: { key, appended: value } }
  },
}

function expiry(ttl: Json | undefined, now: Date): Date | undefined {
  if (ttl === undefined) return undefined
  return new Date(now.getTime() + (typeof ttl === 'number' ? ttl * 1000 : parseDuration(String(ttl))))
}

const needs = (operations: Operation[], names: string[]) => ({
  if: { required: ['operation'], properties: { operation: { enum: operations } } },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: { required: names },
})

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['operation'],
  allOf: [needs(['get', 'load', 'delete', 'increment'], ['key']), needs(['set', 'save', 'append'], ['key', 'value'])],
  properties: {
    operation: {
      type: 'string',
      enum: Object.keys(OPERATIONS),
      description:
        'get (or load) and set (or save) answer the value, delete {deleted, key}, list the sorted keys, clear {cleared}, query the matching objects, increment {key, new_value, incremented}, append {key, appended}. set also shares the value under its key.',
    },
    key: {
      type: 'string',
      minLength: 1,
      maxLength: 512,
      description: 'The key of the entry.',
      examples: ['cursor', 'order-${input.order_id}'],
    },
    value: {
      description: 'What to store or to append: any JSON. Secrets in it are masked.',
      examples: [{ status: 'paid' }, '${input.body}'],
    },
    ttl: {
      type: ['string', 'number'],
      format: 'go-duration',
      exclusiveMinimum: 0,
      maximum: 3_155_760_000,
      description: 'For set: how long the entry lives, a duration or a number of seconds. Absent: for ever.',
      examples: ['24h', 3600],
    },
    filter: {
      type: 'object',
      description: `For query: members and the values they must have, or operators (${OPERATORS.join(', ')}). A dot reaches into objects; _key is the entry's key.`,
      examples: [{ status: 'paid', total: { $gte: 100 } }],
    },
    sort: {
      type: 'string',
      minLength: 1,
      description: 'For query: the member to sort by; a minus in front sorts downwards. Absent: by key.',
      examples: ['-total'],
    },
    limit: { type: 'integer', minimum: 0, description: 'For query: how many at most.', examples: [10] },
    amount: { type: 'number', description: 'For increment: how much to add; 1 unless said otherwise.', examples: [5] },
  },
}
