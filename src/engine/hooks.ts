import { isJsonObject, type Json, type JsonObject } from '../platform/json.js'

/** What a `prep` hook leaves behind: parameters for the step, and members for `shared`. */
export interface Prepared {
  params: JsonObject
  shared?: JsonObject
}

/**
 * Reads a `prep` hook's work. Changes made in place to `params` and `context` are kept; a returned `{params}` or `{context}` is laid
 * over them, and any other returned object is laid over `context`.
 */
export function prepared(returned: Json, captured: JsonObject, before: Readonly<JsonObject>): Prepared {
  const params = isJsonObject(captured.params) ? captured.params : {}
  const context = isJsonObject(captured.context) ? captured.context : {}
  if (isJsonObject(returned)) {
    const speaksOfBoth = isJsonObject(returned.params) || isJsonObject(returned.context)
    if (isJsonObject(returned.params)) Object.assign(params, returned.params)
    if (isJsonObject(returned.context)) Object.assign(context, returned.context)
    if (!speaksOfBoth) Object.assign(context, returned)
  }
  return { params, shared: changes(before, context) }
}

/** The members of `after` that are not in `before` or differ from it. */
function changes(before: Readonly<JsonObject>, after: JsonObject): JsonObject | undefined {
  const changed = Object.entries(after).filter(
    ([name, value]) => !Object.hasOwn(before, name) || JSON.stringify(before[name]) !== JSON.stringify(value),
  )
  return changed.length > 0 ? Object.fromEntries(changed) : undefined
}
