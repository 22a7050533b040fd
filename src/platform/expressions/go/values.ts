import type { Json } from '../../json.js'
import type { Budget } from './budget.js'

/** What counts as true: everything but false, 0, null and what is empty. */
export function isTrue(value: Json): boolean {
  if (Array.isArray(value)) return value.length > 0
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return Boolean(value)
}

/** What kind of value it is, as messages say it: never the value itself, which may be a secret. */
export function kindOf(value: Json): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  switch (typeof value) {
    case 'string':
      return 'a text'
    case 'number':
      return 'a number'
    case 'boolean':
      return 'true or false'
    default:
      return 'an object'
  }
}

/** A value inside text: texts as they are, nothing as nothing, lists and objects as JSON. */
export function textOf(value: Json, budget: Budget): string {
  if (value === null) return ''
  if (typeof value === 'object') return budget.json(value)
  const text = String(value)
  budget.write(text.length)
  return text
}
