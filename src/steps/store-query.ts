import { isDeepStrictEqual } from 'node:util'
import { isJsonObject, type Json, type JsonObject } from '../platform/json.js'
import { invalidParams } from './invalid-params.js'

export interface Query {
  filter?: JsonObject
  /** A member's name, with a minus in front to sort downwards. */
  sort?: string
  limit?: number
}

type Operator = (value: Json | undefined, wanted: Json) => boolean

const MATCHES: Readonly<Record<string, Operator>> = {
  $eq: equal,
  $ne: (value, wanted) => !equal(value, wanted),
  $gt: (value, wanted) => comparable(value, wanted) && compare(value, wanted) > 0,
  $gte: (value, wanted) => comparable(value, wanted) && compare(value, wanted) >= 0,
  $lt: (value, wanted) => comparable(value, wanted) && compare(value, wanted) < 0,
  $lte: (value, wanted) => comparable(value, wanted) && compare(value, wanted) <= 0,
  $in: (value, wanted) => Array.isArray(wanted) && wanted.some((one) => equal(value, one)),
  $contains: (value, wanted) =>
    Array.isArray(value)
      ? value.some((one) => equal(one, wanted))
      : typeof value === 'string' && value.includes(String(wanted)),
}

export const OPERATORS = Object.keys(MATCHES)

/** The entries that match, each with its key as `_key`; an entry that is no object becomes `{value}`. Sorted by key unless told otherwise. */
export function query(
  entries: readonly { key: string; value: Json }[],
  { filter = {}, sort, limit }: Query,
): JsonObject[] {
  const conditions = Object.entries(filter).flatMap(([path, wanted]) => conditionsOf(path, wanted))
  const found = entries
    .map(({ key, value }): JsonObject => ({ ...(isJsonObject(value) ? value : { value }), _key: key }))
    .filter((entry) => conditions.every(({ path, matches, wanted }) => matches(member(entry, path), wanted)))
  const by = sort?.replace(/^-/, '') ?? '_key'
  const direction = sort?.startsWith('-') ? -1 : 1
  return found.sort((a, b) => order(member(a, by), member(b, by), direction)).slice(0, limit)
}

interface Condition {
  path: string
  matches: Operator
  wanted: Json
}

/** An object whose members begin with `$` holds operators; any other value must be equal. */
function conditionsOf(path: string, wanted: Json): Condition[] {
  if (!isJsonObject(wanted) || !Object.keys(wanted).some((name) => name.startsWith('$'))) {
    return [{ path, matches: equal, wanted }]
  }
  return Object.entries(wanted).map(([name, operand]) => {
    const matches = Object.hasOwn(MATCHES, name) ? MATCHES[name] : undefined
    if (!matches) {
      const message = `filter: unknown operator '${name}' (known: ${OPERATORS.join(', ')})`
      throw invalidParams(message)
    }
    return { path, matches, wanted: operand }
  })
}

/** A member by its name, or by a path with dots. Only own members count. */
function member(entry: JsonObject, path: string): Json | undefined {
  if (Object.hasOwn(entry, path)) return entry[path]
  let value: Json | undefined = entry
  for (const name of path.split('.')) {
    value = isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
  }
  return value
}

function equal(value: Json | undefined, wanted: Json): boolean {
  return isDeepStrictEqual(value ?? null, wanted)
}

/** Numbers compare with numbers and texts with texts; nothing else does. */
function comparable(a: Json | undefined, b: Json | undefined): boolean {
  return (typeof a === 'number' && typeof b === 'number') || (typeof a === 'string' && typeof b === 'string')
}

function compare(a: Json | undefined, b: Json | undefined): number {
  return (a as string) < (b as string) ? -1 : (a as string) > (b as string) ? 1 : 0
}

/** Numbers before texts before everything else, and what lacks the member last, in either direction. */
function order(a: Json | undefined, b: Json | undefined, direction: number): number {
  const [rankA, rankB] = [rank(a), rank(b)]
  return rankA === rankB ? compare(a, b) * direction * (rankA < 2 ? 1 : 0) : rankA - rankB
}

function rank(value: Json | undefined): number {
  if (typeof value === 'number') return 0
  if (typeof value === 'string') return 1
  return value === undefined || value === null ? 3 : 2
}
