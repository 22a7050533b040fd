import type { Json, JsonObject } from '../../platform/json.js'
import { invalidParams } from '../invalid-params.js'
import { quoteIdentifier, quoteTable } from './identifier.js'
import type { PostgresSession, SqlResult } from './session.js'

/*
 * Rows travel as one JSON parameter, which the server reads with the column types of the table: dates, arrays and JSON columns need no
 * help, and there is no limit of parameters. Names are quoted, so that they can be nothing but names.
 */

export interface RowsToInsert {
  table: string
  rows: readonly JsonObject[]
  /** All members of the rows where absent. */
  columns?: readonly string[]
  onConflict?: OnConflict
  /** The column whose values to answer, one for each row that was written. */
  returning?: string
}

/** What to do where a row is there already that is equal in these columns; none means in those of any key. */
export interface OnConflict {
  columns: readonly string[]
  action: 'update' | 'nothing'
}

/** Inserts all rows by one statement: all of them or none. */
export async function insertRows(session: PostgresSession, given: RowsToInsert): Promise<SqlResult> {
  const { rows, onConflict, returning } = given
  const columns = given.columns ?? membersOf(rows)
  if (columns.length === 0) throw invalidParams('the items have no members to insert')
  const table = quoteTable(given.table)
  const quoted = list(columns)
  const text = [
    `INSERT INTO ${table} (${quoted}) SELECT ${quoted} FROM jsonb_populate_recordset(NULL::${table}, $1::jsonb)`,
    onConflict ? conflictClause(onConflict, columns) : '',
    returning === undefined ? '' : `RETURNING ${quoteIdentifier(returning)} AS value`,
  ]
  return await session.query(text.join(' '), [JSON.stringify(rows)])
}

/** Gives the rows that are equal to `where` the values of `data`. */
export async function updateRows(
  session: PostgresSession,
  table: string,
  data: JsonObject,
  where: JsonObject,
): Promise<SqlResult> {
  const columns = Object.keys(data).map(quoteIdentifier)
  if (columns.length === 0) throw invalidParams('data has no members to write')
  const target = quoteTable(table)
  const condition = conditionOf(where, target, 2)
  const changes = columns.map((column) => `${column} = fresh.${column}`).join(', ')
  return await session.query(
    `UPDATE ${target} AS kept SET ${changes} FROM jsonb_populate_record(NULL::${target}, $1::jsonb) AS fresh WHERE ${condition.text}`,
    [JSON.stringify(data), ...condition.values],
  )
}

/** Removes the rows that are equal to `where`. */
export async function deleteRows(session: PostgresSession, table: string, where: JsonObject): Promise<SqlResult> {
  const target = quoteTable(table)
  const { text, values } = conditionOf(where, target, 1)
  return await session.query(`DELETE FROM ${target} AS kept WHERE ${text}`, values)
}

export async function hasColumn(session: PostgresSession, table: string, column: string): Promise<boolean> {
  const { rows } = await session.query(HAS_COLUMN, [quoteTable(table), column])
  return rows.length > 0
}

const HAS_COLUMN = `SELECT 1 FROM pg_attribute
  WHERE attrelid = $1::text::regclass AND attname = $2 AND attnum > 0 AND NOT attisdropped`

/** Equality in each column: with null, or with one of a list. */
function conditionOf(where: JsonObject, target: string, firstParameter: number): { text: string; values: Json[] } {
  const values: Json[] = []
  const terms = Object.entries(where).map(([name, value]) => {
    const column = quoteIdentifier(name)
    if (value === null) return `kept.${column} IS NULL`
    const parameter = `$${firstParameter + values.length}::jsonb`
    if (Array.isArray(value)) {
      values.push(JSON.stringify(value.map((one) => named(name, one))))
      return `kept.${column} IN (SELECT wanted.${column} FROM jsonb_populate_recordset(NULL::${target}, ${parameter}) AS wanted)`
    }
    values.push(JSON.stringify(named(name, value)))
    return `kept.${column} = (SELECT wanted.${column} FROM jsonb_populate_record(NULL::${target}, ${parameter}) AS wanted)`
  })
  if (terms.length === 0) throw invalidParams('where must name a column: nothing is done to all rows of a table')
  return { text: terms.join(' AND '), values }
}

/** Also where the name is `__proto__`. */
function named(name: string, value: Json): JsonObject {
  return Object.fromEntries([[name, value]])
}

function membersOf(rows: readonly JsonObject[]): string[] {
  return [...new Set(rows.flatMap((row) => Object.keys(row)))]
}

function conflictClause({ columns: keys, action }: OnConflict, columns: readonly string[]): string {
  const target = keys.length === 0 ? 'ON CONFLICT' : `ON CONFLICT (${list(keys)})`
  const rest = columns.filter((column) => !keys.includes(column)).map(quoteIdentifier)
  if (action === 'nothing' || rest.length === 0) return `${target} DO NOTHING`
  return `${target} DO UPDATE SET ${rest.map((column) => `${column} = excluded.${column}`).join(', ')}`
}

function list(columns: readonly string[]): string {
  return columns.map(quoteIdentifier).join(', ')
}
