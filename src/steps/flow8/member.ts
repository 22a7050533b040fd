import type { Json } from '../../platform/json.js'

/** What a path with dots leads to, in members of the value's own; null where it leads nowhere. */
export function memberOf(value: Json, path: string): Json {
  return path.split('.').reduce<Json>((inner, name) => {
    if (typeof inner !== 'object' || inner === null || !Object.hasOwn(inner, name)) return null
    return (inner as Record<string, Json>)[name] ?? null
  }, value)
}
