import { StepError } from '../../engine/step.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import { invalidParams } from '../invalid-params.js'
import { quoteTable } from './identifier.js'
import { CREATED_MEANWHILE, type PostgresSession, type SqlResult, sqlState, UNDEFINED_TABLE } from './session.js'

const LIVE = '(ttl IS NULL OR ttl > now())'

export interface Search {
  filter?: JsonObject
  sort?: string
  limit?: number
}

/** A table of keys and JSON values in a database of the flow's author. The first `set` creates it; until then it is empty. */
export class KeyValueTable {
  private readonly table: string

  constructor(
    private readonly session: PostgresSession,
    name: string,
  ) {
    this.table = quoteTable(name)
  }

  async get(key: string): Promise<Json> {
    const { rows } = await this.read(`SELECT value FROM ${this.table} WHERE key = $1 AND ${LIVE}`, [key])
    if (!rows[0]) throw new StepError(`item not found: ${key}`, { code: 'not_found', retryable: false })
    return rows[0].value ?? null
  }

  async set(key: string, value: Json, ttlMs: number | undefined): Promise<void> {
    const statement = `INSERT INTO ${this.table} (key, value, ttl) VALUES ($1, $2::jsonb, now() + $3::float8 * interval '1 millisecond')
      ON CONFLICT (key) DO UPDATE SET value = excluded.value, ttl = excluded.ttl`
    const values = [key, JSON.stringify(value), ttlMs ?? null]
    try {
      await this.session.attempt(statement, values)
    } catch (error) {
      if (sqlState(error) !== UNDEFINED_TABLE) throw error
      await this.create()
      await this.session.query(statement, values)
    }
  }

  async delete(key: string): Promise<boolean> {
    return (await this.read(`DELETE FROM ${this.table} WHERE key = $1`, [key])).rowsAffected > 0
  }

  async keys(): Promise<string[]> {
    const { rows } = await this.read(`SELECT key FROM ${this.table} WHERE ${LIVE} ORDER BY key COLLATE "C"`)
    return rows.map((row) => String(row.key))
  }

  /** Values that are objects, each with its key as `_key`; other values stand under `value`. */
  async query({ filter = {}, sort, limit }: Search): Promise<JsonObject[]> {
    const values: Json[] = []
    const bind = (value: Json) => `$${values.push(value)}`
    const conditions = Object.entries(filter).flatMap(([field, wanted]) =>
      condition(`value #> ${bind(path(field))}::text[]`, wanted, bind),
    )
    const order = sort
      ? `value #> ${bind(path(sort.replace(/^-/, '')))}::text[] ${sort.startsWith('-') ? 'DESC' : 'ASC'} NULLS LAST, `
      : ''
    const { rows } = await this.read(
      `SELECT key, value FROM ${this.table} WHERE ${[LIVE, ...conditions].join(' AND ')}
       ORDER BY ${order}key COLLATE "C" LIMIT ${bind(limit ?? null)}::bigint`,
      values,
    )
    return rows.map(({ key, value }) => ({
      ...(isJsonObject(value) ? value : { value: value ?? null }),
      _key: key ?? null,
    }))
  }

  private async read(statement: string, values: readonly Json[] = []): Promise<SqlResult> {
    try {
      return await this.session.attempt(statement, values)
    } catch (error) {
      if (sqlState(error) === UNDEFINED_TABLE) return { rows: [], returnsRows: true, rowsAffected: 0 }
      throw error
    }
  }

  private async create(): Promise<void> {
    try {
      await this.session.attempt(`CREATE TABLE IF NOT EXISTS ${this.table} (
        key text PRIMARY KEY,
        value jsonb NOT NULL,
        ttl timestamptz,
        created_at timestamptz NOT NULL DEFAULT now()
      )`)
    } catch (error) {
      if (!CREATED_MEANWHILE.has(sqlState(error) ?? '')) throw error
    }
  }
}

const COMPARISONS: Readonly<Record<string, string>> = { $gt: '>', $gte: '>=', $lt: '<', $lte: '<=' }

/** What a filter asks of one field. `found` is the field's value as an SQL expression; null where there is no such field. */
function condition(found: string, wanted: Json, bind: (value: Json) => string): string[] {
  if (!isJsonObject(wanted) || !Object.keys(wanted).some((name) => name.startsWith('$')))
    return condition(found, { $eq: wanted }, bind)
  return Object.entries(wanted).map(([operator, operand]) => {
    const json = () => `${bind(JSON.stringify(operand))}::jsonb`
    if (operator === '$eq') return `COALESCE(${found}, 'null') = ${json()}`
    if (operator === '$ne') return `COALESCE(${found}, 'null') <> ${json()}`
    if (operator === '$in') return `COALESCE(${found}, 'null') IN (SELECT jsonb_array_elements(${json()}))`
    if (operator === '$contains') {
      const text = typeof operand === 'string' ? operand : JSON.stringify(operand)
      return `CASE jsonb_typeof(${found}) WHEN 'string' THEN strpos(${found} #>> '{}', ${bind(text)}) > 0
        WHEN 'array' THEN (${found}) @> ${json()} ELSE false END`
    }
    const comparison = COMPARISONS[operator]
    if (comparison) {
      const operandSql = json()
      return `(jsonb_typeof(${found}) = jsonb_typeof(${operandSql}) AND ${found} ${comparison} ${operandSql})`
    }
    throw invalidParams(`unknown filter operator '${operator}': use $eq, $ne, $gt, $gte, $lt, $lte, $in or $contains`)
  })
}

/** `address.city` leads into nested objects. Written as an array literal, since the driver binds one text. */
function path(field: string): Json {
  return field.split('.')
}
