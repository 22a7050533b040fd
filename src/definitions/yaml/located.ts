import type { Json, JsonObject } from '../../platform/json.js'

/** A value of a YAML document that knows where it stands. Shared by every alias of it, so never changed. */
export type Located = LocatedScalar | LocatedList | LocatedMapping | Unusable

interface Place {
  readonly offset: number
  /** Values inside, itself included. */
  readonly size: number
  /** Levels of mappings and lists, itself included. */
  readonly height: number
}

export interface LocatedScalar extends Place {
  readonly kind: 'scalar'
  readonly value: null | boolean | number | string
  /** As written: `1.0`, where the value is the number 1. */
  readonly source: string
}

export interface LocatedList extends Place {
  readonly kind: 'list'
  readonly items: readonly Located[]
}

export interface LocatedMapping extends Place {
  readonly kind: 'mapping'
  readonly members: ReadonlyMap<string, Member>
}

export interface Member {
  readonly keyOffset: number
  readonly value: Located
}

/** A value that JSON cannot carry. Its fault is told already; nobody needs to complain about it again. */
export interface Unusable extends Place {
  readonly kind: 'unusable'
}

/** A JSON copy. Objects have no prototype, so that a key such as `__proto__` or `constructor` is a member like any other. */
export function toJson(located: Located): Json {
  switch (located.kind) {
    case 'scalar':
      return located.value
    case 'unusable':
      return null
    case 'list':
      return located.items.map(toJson)
    case 'mapping': {
      const object: JsonObject = Object.create(null)
      for (const [key, { value }] of located.members) object[key] = toJson(value)
      return object
    }
  }
}

export function isUsable(located: Located): boolean {
  switch (located.kind) {
    case 'unusable':
      return false
    case 'list':
      return located.items.every(isUsable)
    case 'mapping':
      return [...located.members.values()].every(({ value }) => isUsable(value))
    default:
      return true
  }
}
