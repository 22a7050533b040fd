import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import { invalidParams } from '../invalid-params.js'
import { quoteIdentifier, quoteTable } from './identifier.js'
import type { PostgresSession } from './session.js'

/**
 * Inserts all items by one statement: all of them or none. They travel as one JSON parameter, which the server reads with the column
 * types of the table, so that dates, arrays and JSON columns need no help and the number of items no limit of parameters.
 */
export async function insertBatch(session: PostgresSession, params: JsonObject): Promise<JsonObject> {
  const table = params.table ?? params.table_name
  if (typeof table !== 'string') throw invalidParams('table parameter is required for batch_insert operation')
  if (!Array.isArray(params.items)) throw invalidParams('items parameter is required for batch_insert operation')
  const items = params.items.map(object)
  if (items.length === 0) return { rows_affected: 0 }

  const columns = names(params.columns) ?? [...new Set(items.flatMap((item) => Object.keys(item)))]
  if (columns.length === 0) throw invalidParams('the items have no members to insert')
  const quoted = columns.map(quoteIdentifier).join(', ')
  const target = quoteTable(table)
  const { rowsAffected } = await session.query(
    `INSERT INTO ${target} (${quoted}) SELECT ${quoted} FROM jsonb_populate_recordset(NULL::${target}, $1::jsonb) ${onConflict(params, columns)}`,
    [JSON.stringify(items)],
  )
  return { rows_affected: rowsAffected }
}

function onConflict(params: JsonObject, columns: readonly string[]): string {
  const keys = names(params.on_conflict) ?? []
  if (keys.length === 0) {
    if (params.on_conflict_action === 'update') throw invalidParams('on_conflict_action update needs on_conflict')
    return params.on_conflict_action === 'nothing' ? 'ON CONFLICT DO NOTHING' : ''
  }
  const rest = columns.filter((column) => !keys.includes(column)).map(quoteIdentifier)
  const target = `ON CONFLICT (${keys.map(quoteIdentifier).join(', ')})`
  if (params.on_conflict_action !== 'update' || rest.length === 0) return `${target} DO NOTHING`
  return `${target} DO UPDATE SET ${rest.map((column) => `${column} = excluded.${column}`).join(', ')}`
}

function names(value: Json | undefined): string[] | undefined {
  if (value === undefined) return undefined
  return (Array.isArray(value) ? value : [value]).map(String)
}

function object(item: Json): JsonObject {
  if (isJsonObject(item)) return item
  throw invalidParams('every item of batch_insert must be an object')
}
