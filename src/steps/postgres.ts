import type { StepContext, StepType } from '../engine/step.js'
import { isJsonObject, type Json, type JsonObject, type JsonSchema } from '../platform/json.js'
import { durationParam, timeLimit, timeoutParam } from './conversation.js'
import { invalidParams } from './invalid-params.js'
import type { Outbound } from './ports.js'
import { insertBatch } from './postgres/batch-insert.js'
import { converseWithDatabase, type Work } from './postgres/conversation.js'
import { OUTCOMES_TABLE } from './postgres/exactly-once.js'
import { KeyValueTable } from './postgres/key-value.js'
import type { SqlResult } from './postgres/session.js'

/** Speaks to a PostgreSQL server of the flow's author: SQL with bound parameters, or a table of keys and values. */
export function postgres({ outbound }: { outbound: Outbound }): StepType {
  return {
    name: 'postgres',
    title: 'PostgreSQL',
    category: 'database',
    summary: 'Runs SQL, or keeps keys and JSON values, on a PostgreSQL server.',
    stepClass: 'effect',
    sharedAs: 'postgres_result',
    params: PARAMS,
    async run(params, step) {
      return { output: await operate(outbound, params, step) }
    },
  }
}

async function operate(outbound: Outbound, params: JsonObject, step: StepContext): Promise<Json> {
  const connection = {
    host: String(params.host ?? 'localhost'),
    port: Number(params.port ?? 5432),
    user: String(params.user ?? 'postgres'),
    password: String(params.password ?? ''),
    dbname: String(params.dbname ?? 'postgres'),
    ssl: params.ssl ?? false,
  }
  const timeoutMs = timeLimit(params.timeout, '30s')
  const once = params.exactly_once === true
  return await converseWithDatabase({ outbound, connection, timeoutMs, exactlyOnce: once }, step, operation(params))
}

function operation(params: JsonObject): Work {
  const table = String(params.table ?? params.table_name ?? 'flow_store')
  switch (params.operation) {
    case 'get':
      return ofKey(params, (key) => (session) => new KeyValueTable(session, table).get(key))
    case 'set':
      return ofKey(params, (key) => async (session) => {
        const ttlMs = params.ttl === undefined ? undefined : durationParam('ttl', params.ttl)
        await new KeyValueTable(session, table).set(key, params.value ?? null, ttlMs)
        return params.value ?? null
      })
    case 'delete':
      return ofKey(params, (key) => async (session) => ({
        deleted: await new KeyValueTable(session, table).delete(key),
        key,
      }))
    case 'list':
      return (session) => new KeyValueTable(session, table).keys()
    case 'query':
      return params.query === undefined ? search(params, table) : statement(params)
    case 'execute':
      return statement(params)
    case 'transaction':
      return transaction(params.statements)
    case 'batch_insert':
      return (session) => insertBatch(session, params)
    default:
      throw invalidParams(`unknown operation: ${String(params.operation)}`)
  }
}

function ofKey(params: JsonObject, work: (key: string) => Work): Work {
  if (typeof params.key !== 'string')
    throw invalidParams(`key parameter is required for ${String(params.operation)} operation`)
  return work(params.key)
}

function search(params: JsonObject, table: string): Work {
  const filter = isJsonObject(params.filter) ? params.filter : {}
  const sort = typeof params.sort === 'string' ? params.sort : undefined
  const limit = typeof params.limit === 'number' ? params.limit : undefined
  return (session) => new KeyValueTable(session, table).query({ filter, sort, limit })
}

function statement(params: JsonObject): Work {
  const { query, args } = params
  if (typeof query !== 'string')
    throw invalidParams(`query parameter is required for ${String(params.operation)} operation`)
  return async (session) => outcome(await session.query(query, Array.isArray(args) ? args : []))
}

function transaction(statements: Json | undefined): Work {
  if (!Array.isArray(statements) || statements.length === 0)
    throw invalidParams('statements parameter is required for transaction operation')
  return (session) =>
    session.transaction(async () => {
      const results: Json[] = []
      for (const one of statements) {
        const { query, args } = isJsonObject(one) ? one : {}
        if (typeof query !== 'string') throw invalidParams('query parameter is required for statement')
        results.push(outcome(await session.query(query, Array.isArray(args) ? args : [])))
      }
      return { results }
    })
}

function outcome(result: SqlResult): Json {
  return result.returnsRows ? result.rows : { rows_affected: result.rowsAffected }
}

const PARAMS: JsonSchema = {
  type: 'object',
  required: ['operation'],
  properties: {
    operation: {
      enum: ['get', 'set', 'delete', 'list', 'query', 'execute', 'transaction', 'batch_insert'],
      description:
        'What to do. `query` runs SQL where `query` is given, and searches the key-value table by `filter` otherwise.',
    },
    host: {
      type: 'string',
      minLength: 1,
      default: 'localhost',
      description: 'Host of the server.',
      examples: ['db.example.com'],
    },
    port: { type: 'integer', minimum: 1, maximum: 65535, default: 5432, description: 'Port of the server.' },
    user: { type: 'string', default: 'postgres', description: 'Role to log in as.' },
    password: { type: 'string', writeOnly: true, description: 'Its password.', examples: ['${secrets.DB_PASSWORD}'] },
    dbname: { type: 'string', default: 'postgres', description: 'Database.' },
    ssl: {
      type: ['boolean', 'object'],
      default: false,
      description: 'Encrypt the connection; as an object it says how to judge the certificate.',
      properties: { ca: { type: 'string' }, reject_unauthorized: { type: 'boolean' } },
      additionalProperties: false,
    },
    query: { type: 'string', description: 'One SQL statement.', examples: ['SELECT * FROM users WHERE id = $1'] },
    args: { type: 'array', description: 'Values of $1, $2 and so on.', examples: [['user-123']] },
    statements: {
      type: 'array',
      minItems: 1,
      description: 'Statements of a transaction, in order.',
      items: {
        type: 'object',
        required: ['query'],
        properties: { query: { type: 'string' }, args: { type: 'array' } },
        additionalProperties: false,
      },
    },
    table: {
      type: 'string',
      description: 'Table: of `batch_insert`, or of the keys and values (`flow_store` by default).',
      examples: ['users'],
    },
    table_name: { type: 'string', description: 'Another name of `table`.' },
    key: { type: 'string', description: 'Key of get, set and delete.' },
    value: { description: 'Value to set: any JSON.' },
    ttl: {
      type: ['string', 'number'],
      format: 'go-duration',
      exclusiveMinimum: 0,
      description: 'How long a set value lives: a duration such as 1h, or seconds.',
    },
    filter: {
      type: 'object',
      description: 'Fields and what they must be: a value, or $eq $ne $gt $gte $lt $lte $in $contains.',
      examples: [{ status: 'open', amount: { $gt: 100 } }],
    },
    sort: { type: 'string', description: 'Field to sort by; `-field` for descending.' },
    limit: { type: 'integer', minimum: 1, description: 'At most so many.' },
    items: { type: 'array', description: 'Objects to insert.', items: { type: 'object' } },
    columns: {
      type: 'array',
      items: { type: 'string' },
      description: 'Columns to fill; all members of the items by default.',
    },
    on_conflict: {
      type: ['string', 'array'],
      items: { type: 'string' },
      description: 'Columns whose equality makes two rows one.',
    },
    on_conflict_action: {
      enum: ['update', 'nothing'],
      description: 'What to do with such a row; `nothing` by default.',
    },
    exactly_once: {
      type: 'boolean',
      default: false,
      description: `Commit what the step does together with a mark of it, in the table ${OUTCOMES_TABLE} of the schema that the role works in; the table is created if it is missing. A repeated attempt, also after a crash, finds the mark and answers the stored output instead of doing it again. Rows older than your longest run may be deleted.`,
    },
    timeout: timeoutParam('30s'),
  },
  additionalProperties: false,
}
