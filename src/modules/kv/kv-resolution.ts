import { isJsonObject, type Json } from '../../platform/json.js'
import { KEY_VALUE_SCOPES, type KeyValueScope } from '../../steps/ports.js'

/** Who wins where a flow sees a key in several scopes: the widest (`parent`), the narrowest (`child`), or both, member by member. */
export type KvConflict = 'parent' | 'child' | 'merge'

export interface SeenValue {
  value: Json
  /** It must not be shown. */
  secret: boolean
}

/** What a flow sees of the entries that there are of one key, at most one for each scope. */
export function resolved(
  entries: readonly (SeenValue & { scope: KeyValueScope })[],
  conflict: KvConflict,
): SeenValue | undefined {
  const widestFirst = entries.toSorted((one, other) => widthOf(one.scope) - widthOf(other.scope))
  const chosen = conflict === 'parent' ? widestFirst[0] : widestFirst.at(-1)
  if (!chosen) return undefined
  if (conflict !== 'merge') return { value: chosen.value, secret: chosen.secret }
  return {
    value: widestFirst.map(({ value }) => value).reduce(merged),
    secret: entries.some(({ secret }) => secret),
  }
}

function widthOf(scope: KeyValueScope): number {
  return KEY_VALUE_SCOPES.indexOf(scope)
}

/** Objects are merged at every depth; of anything else, lists included, the child's stands for the parent's. */
function merged(parent: Json, child: Json): Json {
  if (!isJsonObject(parent) || !isJsonObject(child)) return child
  const members = new Map(Object.entries(parent))
  for (const [name, value] of Object.entries(child)) {
    const inherited = members.get(name)
    members.set(name, inherited === undefined ? value : merged(inherited, value))
  }
  return Object.fromEntries(members)
}
