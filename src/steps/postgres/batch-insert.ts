import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import { invalidParams } from '../invalid-params.js'
import { insertRows, type OnConflict } from './rows.js'
import type { PostgresSession } from './session.js'

/** Inserts the items of a `batch_insert`: all of them or none. */
export async function insertBatch(session: PostgresSession, params: JsonObject): Promise<JsonObject> {
  const table = params.table ?? params.table_name
  if (typeof table !== 'string') throw invalidParams('table parameter is required for batch_insert operation')
  if (!Array.isArray(params.items)) throw invalidParams('items parameter is required for batch_insert operation')
  const rows = params.items.map(object)
  const onConflict = onConflictOf(params)
  if (rows.length === 0) return { rows_affected: 0 }
  const { rowsAffected } = await insertRows(session, { table, rows, columns: names(params.columns), onConflict })
  return { rows_affected: rowsAffected }
}

function onConflictOf(params: JsonObject): OnConflict | undefined {
  const columns = names(params.on_conflict) ?? []
  const action = params.on_conflict_action === 'update' ? 'update' : 'nothing'
  if (columns.length > 0) return { columns, action }
  if (action === 'update') throw invalidParams('on_conflict_action update needs on_conflict')
  return params.on_conflict_action === 'nothing' ? { columns, action } : undefined
}

function names(value: Json | undefined): string[] | undefined {
  if (value === undefined) return undefined
  return (Array.isArray(value) ? value : [value]).map(String)
}

function object(item: Json): JsonObject {
  if (isJsonObject(item)) return item
  throw invalidParams('every item of batch_insert must be an object')
}
