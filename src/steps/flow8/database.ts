import type { StepContext, StepType } from '../../engine/step.js'
import type { Json, JsonObject, JsonSchema } from '../../platform/json.js'
import { timeLimit } from '../conversation.js'
import type { Outbound } from '../ports.js'
import { converseWithDatabase, type Work } from '../postgres/conversation.js'
import { OUTCOMES_TABLE } from '../postgres/exactly-once.js'
import { deleteRows, hasColumn, insertRows, type OnConflict, updateRows } from '../postgres/rows.js'
import type { PostgresSession, SessionOptions } from '../postgres/session.js'
import { decodedPart, hostOf } from '../url-parts.js'
import { connectionGiven, connectionParam, noConnection } from './connection.js'
import { MAX_ITEMS } from './limits.js'

interface DatabaseModule {
  name: string
  title: string
  summary: string
  writes: boolean
  required: readonly string[]
  properties: JsonSchema
  output: JsonSchema
  work(params: JsonObject): Work
}

/** The modules that speak to a PostgreSQL database of the account's. */
export function databases(outbound: Outbound): StepType[] {
  return [QUERY, INSERT, UPDATE, UPSERT, DELETE].map((module) => stepTypeOf(module, outbound))
}

function stepTypeOf(module: DatabaseModule, outbound: Outbound): StepType {
  const { name, title, summary, writes, required, properties, output } = module
  return {
    name,
    title,
    category: 'database',
    summary,
    stepClass: writes ? 'effect' : 'pure',
    params: {
      type: 'object',
      additionalProperties: false,
      required,
      properties: {
        ...properties,
        connection: CONNECTION,
        ...(writes && { exactlyOnce: EXACTLY_ONCE }),
        timeout: TIMEOUT,
      },
    },
    output: { type: 'object', additionalProperties: false, ...output },
    async run(params, step) {
      const conversation = {
        outbound,
        connection: await connectionOf(params.connection, step),
        timeoutMs: timeLimit(params.timeout, '30s'),
        exactlyOnce: params.exactlyOnce === true,
      }
      return { output: await converseWithDatabase(conversation, step, module.work(params)) }
    },
  }
}

const KIND = { protocols: ['postgres:', 'postgresql:'], defaultSecret: 'DATABASE_URL' }

async function connectionOf(given: Json | undefined, step: StepContext): Promise<SessionOptions> {
  const connection = await connectionGiven(given, KIND, step)
  if (!connection) throw noConnection(`connection is required unless there is a secret ${KIND.defaultSecret}`)
  if (connection instanceof URL) return ofUrl(connection)
  const { host, port, user, password, database, ssl } = connection
  return {
    host: String(host),
    port: Number(port ?? 5432),
    user: String(user ?? 'postgres'),
    password: String(password ?? ''),
    dbname: String(database ?? user ?? 'postgres'),
    ssl: ssl ?? false,
  }
}

function ofUrl(url: URL): SessionOptions {
  const user = decodedPart(url.username) || 'postgres'
  return {
    host: hostOf(url),
    port: Number(url.port || 5432),
    user,
    password: decodedPart(url.password),
    dbname: decodedPart(url.pathname.slice(1)) || user,
    ssl: sslOf(url.searchParams.get('sslmode')),
  }
}

/** As libpq has it: only the two that say so look at the certificate. */
function sslOf(mode: string | null): Json {
  if (mode === 'verify-ca' || mode === 'verify-full') return { reject_unauthorized: true }
  return mode === 'require' ? { reject_unauthorized: false } : false
}

/** The statements that a cursor can be had of, so that no more is read of them than is asked for. */
const ROWS = /^\s*(?:select|with|values|table|\()/i

async function query(session: PostgresSession, { sql, params = [], limit }: JsonObject): Promise<Json> {
  const text = String(sql)
  const most = Number(limit)
  const rows = await session.transaction(async () => {
    if (!ROWS.test(text)) return (await session.query(text, params as Json[])).rows
    await session.query(`DECLARE millrace NO SCROLL CURSOR FOR ${text}`, params as Json[])
    return (await session.query(`FETCH FORWARD ${most + 1} FROM millrace`)).rows
  }, 'BEGIN READ ONLY')
  const kept = rows.slice(0, most)
  return { rows: kept, count: kept.length, truncated: rows.length > most }
}

async function insert(session: PostgresSession, params: JsonObject, onConflict?: OnConflict): Promise<Json> {
  const table = String(params.table)
  const rows = (Array.isArray(params.data) ? params.data : [params.data]) as JsonObject[]
  if (rows.length === 0) return { id: null, ids: [], rowsAffected: 0 }
  const idColumn = String(params.idColumn)
  const returning = (await hasColumn(session, table, idColumn)) ? idColumn : undefined
  const written = await insertRows(session, { table, rows, onConflict, returning })
  const ids = returning === undefined ? [] : written.rows.map(({ value }) => value ?? null)
  return { id: ids[0] ?? null, ids, rowsAffected: written.rowsAffected }
}

const CONNECTION = connectionParam(
  'The PostgreSQL database: a URL (with sslmode where it is to be encrypted), an object, or the name of a secret that holds a URL. Absent: the secret DATABASE_URL. Addresses that are not public are refused unless the server allows them.',
  {
    host: { type: 'string', minLength: 1, description: 'Host of the server.' },
    port: { type: 'integer', minimum: 1, maximum: 65535, description: 'Its port, 5432 unless said otherwise.' },
    user: { type: 'string', minLength: 1, description: 'The role to log in as.' },
    password: { type: 'string', description: 'Its password.' },
    database: { type: 'string', minLength: 1, description: 'The database; named like the role unless said otherwise.' },
    ssl: {
      type: ['boolean', 'object'],
      additionalProperties: false,
      properties: { ca: { type: 'string' }, reject_unauthorized: { type: 'boolean' } },
      description: 'Encrypts the connection; as an object it says how to judge the certificate.',
    },
  },
  ['WAREHOUSE_URL', { host: 'db.example.com', user: 'reader', password: 'secret', database: 'shop', ssl: true }],
)

const EXACTLY_ONCE = {
  type: 'boolean',
  default: false,
  description: `Commits what is done together with a mark of it, in the table ${OUTCOMES_TABLE}, which is created if it is missing. A repeated attempt, also after a crash, finds the mark and does nothing.`,
  examples: [true],
}

const TIMEOUT = {
  type: ['number', 'string'],
  format: 'go-duration',
  exclusiveMinimum: 0,
  default: 30,
  description: 'How long it may take: a number of seconds, or a duration.',
  examples: [30, '2m'],
}

const TABLE = {
  type: 'string',
  minLength: 1,
  maxLength: 200,
  description: 'The table, with or without its schema.',
  examples: ['users', 'sales.orders'],
}

const ROW: JsonSchema = { type: 'object', minProperties: 1, maxProperties: 1_600 }

const DATA = {
  type: ['object', 'array'],
  minProperties: 1,
  maxItems: MAX_ITEMS,
  items: ROW,
  description:
    'A row by its columns, or a list of rows, which are written together or not at all. What a row lacks and another has is null.',
  examples: [{ name: 'Ada', tags: ['x'] }, [{ name: 'Ada' }, { name: 'Grace' }]],
}

const WHERE = {
  ...ROW,
  description: 'Which rows: columns and what they are equal to; null, or a list of which one is enough, count as well.',
  examples: [{ id: 7 }, { status: ['open', 'late'], deleted_at: null }],
}

const ID_COLUMN = {
  type: 'string',
  minLength: 1,
  maxLength: 63,
  default: 'id',
  description: 'The column whose value to put out as id, where the table has it.',
  examples: ['id', 'order_no'],
}

const AFFECTED = { type: 'integer', minimum: 0, description: 'How many rows there were.' }

const WRITTEN: JsonSchema = {
  required: ['id', 'ids', 'rowsAffected'],
  properties: {
    id: { description: 'The id of the first row that was written; null where there is none.' },
    ids: { type: 'array', description: 'The ids of all of them.' },
    rowsAffected: AFFECTED,
  },
}

const CHANGED: JsonSchema = { required: ['rowsAffected'], properties: { rowsAffected: AFFECTED } }

const QUERY: DatabaseModule = {
  name: 'db-query',
  title: 'Query a database',
  summary: 'Reads rows of a PostgreSQL database by SQL, in a transaction that cannot write.',
  writes: false,
  required: ['sql'],
  properties: {
    sql: {
      type: 'string',
      minLength: 1,
      maxLength: 100_000,
      description: 'One statement. Values belong into params, never into the text.',
      examples: ['SELECT id, name FROM users WHERE created_at > $1'],
    },
    params: {
      type: 'array',
      maxItems: 1_000,
      description: 'The values of $1, $2 and so on: a list as an SQL array, an object as JSON.',
      examples: [['2026-01-01']],
    },
    limit: {
      type: 'integer',
      minimum: 1,
      maximum: MAX_ITEMS,
      default: 1_000,
      description: 'So many rows at most.',
      examples: [100],
    },
  },
  output: {
    required: ['rows', 'count', 'truncated'],
    properties: {
      rows: { type: 'array', items: { type: 'object' }, description: 'The rows, by their columns.' },
      count: { type: 'integer', minimum: 0, description: 'How many these are.' },
      truncated: { type: 'boolean', description: 'Whether there are more than the limit.' },
    },
  },
  work: (params) => (session) => query(session, params),
}

const INSERT: DatabaseModule = {
  name: 'db-insert',
  title: 'Insert into a database',
  summary: 'Inserts rows into a table of a PostgreSQL database.',
  writes: true,
  required: ['table', 'data'],
  properties: { table: TABLE, data: DATA, idColumn: ID_COLUMN },
  output: WRITTEN,
  work: (params) => (session) => insert(session, params),
}

const UPSERT: DatabaseModule = {
  name: 'db-upsert',
  title: 'Insert or update in a database',
  summary: 'Inserts rows into a table of a PostgreSQL database, or updates those that are there already.',
  writes: true,
  required: ['table', 'data', 'conflictKey'],
  properties: {
    table: TABLE,
    data: DATA,
    conflictKey: {
      type: ['string', 'array'],
      minLength: 1,
      minItems: 1,
      maxItems: 32,
      items: { type: 'string', minLength: 1 },
      description: 'The column, or columns, of a unique key: a row that is equal in these is updated.',
      examples: ['email', ['tenant', 'email']],
    },
    idColumn: ID_COLUMN,
  },
  output: WRITTEN,
  work: (params) => (session) =>
    insert(session, params, { columns: [params.conflictKey].flat().map(String), action: 'update' }),
}

const UPDATE: DatabaseModule = {
  name: 'db-update',
  title: 'Update a database',
  summary: 'Changes rows of a table of a PostgreSQL database.',
  writes: true,
  required: ['table', 'data', 'where'],
  properties: {
    table: TABLE,
    data: { ...ROW, description: 'The new values by column.', examples: [{ status: 'paid' }] },
    where: WHERE,
  },
  output: CHANGED,
  work:
    ({ table, data, where }) =>
    async (session) => {
      const { rowsAffected } = await updateRows(session, String(table), data as JsonObject, where as JsonObject)
      return { rowsAffected }
    },
}

const DELETE: DatabaseModule = {
  name: 'db-delete',
  title: 'Delete from a database',
  summary: 'Deletes rows of a table of a PostgreSQL database.',
  writes: true,
  required: ['table', 'where'],
  properties: { table: TABLE, where: WHERE },
  output: CHANGED,
  work:
    ({ table, where }) =>
    async (session) => {
      const { rowsAffected } = await deleteRows(session, String(table), where as JsonObject)
      return { rowsAffected }
    },
}
