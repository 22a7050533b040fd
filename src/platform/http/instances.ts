import type { Type } from '@nestjs/common'
import { type ClassConstructor, plainToInstance } from 'class-transformer'
import { isJsonObject } from '../json.js'
import { classOfField, hasField } from '../openapi/fields.js'

/**
 * An instance of a class of ours, made of what came in, still unchecked. class-transformer is given the scalars of known names only: from
 * an object it would take `constructor` for its class and call it, it would copy free-form data member by member, and it compares the name of
 * each member with those of all others, so that a body of unknown ones would hold up everybody for a minute. Objects of classes of ours
 * become instances here; all other objects and lists are handed on as they came.
 */
export function instanceOf(type: ClassConstructor<unknown>, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => instanceOf(type, item))
  if (!isJsonObject(value)) return value
  const members = Object.entries(value)
  const scalars = members.filter(([name, member]) => isScalar(member) && hasField(type as Type<unknown>, name))
  const instance = plainToInstance(type, Object.fromEntries(scalars), { exposeUnsetFields: false }) as object
  for (const [name, member] of members) {
    if (isScalar(member) && hasField(type as Type<unknown>, name) && Object.hasOwn(instance, name)) continue
    const inner = classOfField(type as Type<unknown>, name)
    Object.defineProperty(instance, name, {
      value: inner ? instanceOf(inner, member) : member,
      enumerable: true,
      writable: true,
      configurable: true,
    })
  }
  return instance
}

/** How many objects of classes of ours would be made of it; whatever stands in a list of them counts as one. */
export function objectsIn(type: Type<unknown>, value: unknown): number {
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + Math.max(1, objectsIn(type, item)), 0)
  if (!isJsonObject(value)) return 0
  return Object.entries(value).reduce((sum, [name, member]) => {
    const inner = isScalar(member) ? undefined : classOfField(type, name)
    return inner ? sum + objectsIn(inner, member) : sum
  }, 1)
}

function isScalar(value: unknown): boolean {
  return typeof value !== 'object' || value === null
}

/**
 * Where an object of a class of ours brings its own `constructor`: class-validator finds an object's rules by it. Undefined where
 * none does; else the names that lead there.
 */
export function ownConstructor(type: Type<unknown>, value: unknown): string[] | undefined {
  if (Array.isArray(value)) {
    return first([...value.entries()], ([index, item]) => below(String(index), ownConstructor(type, item)))
  }
  if (!isJsonObject(value)) return undefined
  if (Object.hasOwn(value, 'constructor')) return ['constructor']
  return first(Object.entries(value), ([name, member]) => {
    const inner = classOfField(type, name)
    return inner && below(name, ownConstructor(inner, member))
  })
}

function below(name: string, rest: string[] | undefined): string[] | undefined {
  return rest && [name, ...rest]
}

function first<T, R>(items: T[], find: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
}
