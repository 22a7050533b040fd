import type { Condition } from '../../engine/graph.js'
import { StepError } from '../../engine/step.js'
import { type LinearRegex, linearRegex, UnusableRegex } from '../../platform/expressions/regex.js'
import { isJsonObject, type Json } from '../../platform/json.js'
import type { FilterDefinition } from './layers.js'

const NUMERAL = /^\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?\s*$/
const LONGEST_NUMERAL = 400
const TRUE_WORDS: ReadonlySet<string> = new Set(['true', '1', 'yes'])
const FALSE_WORDS: ReadonlySet<string> = new Set(['false', '0', 'no', ''])

/**
 * What a layer's filters come to: each joins what those before it came to by its mode, from left to right and without precedence. A
 * layer that is switched off is passed over as if they did not hold.
 */
export function conditionOf(filters: readonly FilterDefinition[], isEnabled: boolean): Condition | undefined {
  if (!isEnabled) return { params: {}, holds: () => false }
  if (filters.length === 0) return undefined
  const sides = filters.map(({ leftValue, rightValue = null }) => ({ leftValue, rightValue }))
  return {
    params: { filters: sides },
    holds: (values) => {
      const evaluated = values.filters as unknown as typeof sides
      return filters.reduce((held, filter, at) => {
        const { leftValue, rightValue } = evaluated[at] ?? { leftValue: null, rightValue: null }
        // Where it is decided already, a filter that cannot be compared does no harm.
        if (at > 0 && held === (filter.mode === 'or')) return held
        return holds(filter, leftValue, rightValue)
      }, true)
    },
  }
}

/** What is wrong with a pattern that is literal; undefined where nothing is. */
export function patternFault(pattern: Json): string | undefined {
  try {
    regexOf(pattern)
    return undefined
  } catch (error) {
    if (error instanceof StepError) return error.message
    throw error
  }
}

function holds({ operator, cast }: FilterDefinition, left: Json, right: Json): boolean {
  if (operator === 'is_empty') return isEmpty(left)
  if (operator === 'not_empty') return !isEmpty(left)
  const [one, other] = cast ? [castTo(cast, left), castTo(cast, right)] : [left, right]
  switch (operator) {
    case 'eq':
      return isSame(one, other)
    case 'neq':
      return !isSame(one, other)
    case 'contains':
      return contains(one, other)
    case 'not_contains':
      return !contains(one, other)
    case 'regex':
      return matches(one, right)
    case 'gt':
      return order(operator, one, other) > 0
    case 'gte':
      return order(operator, one, other) >= 0
    case 'lt':
      return order(operator, one, other) < 0
    case 'lte':
      return order(operator, one, other) <= 0
  }
}

function isEmpty(value: Json): boolean {
  if (value === null || value === '') return true
  if (Array.isArray(value)) return value.length === 0
  return isJsonObject(value) && Object.keys(value).length === 0
}

function castTo(cast: NonNullable<FilterDefinition['cast']>, value: Json): Json {
  switch (cast) {
    case 'string':
      return textOf(value)
    case 'number': {
      const number = numberOf(value)
      if (number === undefined) throw unusable(`a filter reads ${kindOf(value)} as a number, and it is none`)
      return number
    }
    case 'boolean':
      return booleanOf(value)
  }
}

/** Forms send texts: against a number or a truth value a text counts as what it spells. */
function isSame(one: Json, other: Json): boolean {
  if (typeof one === 'object' || typeof other === 'object') return canonical(one) === canonical(other)
  if (typeof one === typeof other) return one === other
  if (typeof one === 'number' || typeof other === 'number') {
    const [first, second] = [numberOf(one), numberOf(other)]
    return first !== undefined && first === second
  }
  return String(one) === String(other)
}

/** Of numbers, and of texts that spell two; else of texts, as moments in ISO 8601 are ordered too. */
function order(operator: string, one: Json, other: Json): number {
  const [first, second] = [numberOf(one), numberOf(other)]
  if (first !== undefined && second !== undefined) return first - second
  if (typeof one === 'string' && typeof other === 'string') return one < other ? -1 : one > other ? 1 : 0
  // Nothing is neither more nor less than anything.
  if (one === null || other === null) return Number.NaN
  throw unusable(`the filter ${operator} compares two numbers or two texts, not ${kindOf(one)} and ${kindOf(other)}`)
}

function contains(whole: Json, part: Json): boolean {
  if (Array.isArray(whole)) return whole.some((item) => isSame(item, part))
  if (isJsonObject(whole)) return typeof part === 'string' && Object.hasOwn(whole, part)
  return whole !== null && textOf(whole).includes(textOf(part))
}

function matches(value: Json, pattern: Json): boolean {
  const regex = regexOf(pattern)
  try {
    return regex.test(textOf(value))
  } catch (error) {
    if (error instanceof UnusableRegex) throw unusable(`the filter regex: ${error.message}`)
    throw error
  }
}

function regexOf(pattern: Json): LinearRegex {
  if (typeof pattern !== 'string') throw unusable('the filter regex takes a pattern, a text')
  try {
    return linearRegex(pattern)
  } catch (error) {
    if (error instanceof UnusableRegex) throw unusable(`the filter regex: ${error.message}`)
    throw error
  }
}

function textOf(value: Json): string {
  if (value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function numberOf(value: Json): number | undefined {
  if (typeof value === 'number') return value
  if (typeof value !== 'string' || value.length > LONGEST_NUMERAL || !NUMERAL.test(value)) return undefined
  return Number(value)
}

function booleanOf(value: Json): boolean {
  if (typeof value === 'boolean') return value
  const word = typeof value === 'object' ? undefined : String(value).slice(0, 10).trim().toLowerCase()
  if (value === null || (word !== undefined && FALSE_WORDS.has(word))) return false
  if (word !== undefined && TRUE_WORDS.has(word)) return true
  throw unusable(`a filter reads ${kindOf(value)} as true or false, and it is neither`)
}

/** JSON with the members in one order. */
function canonical(value: Json): string {
  return JSON.stringify(value, (_, inner: Json) =>
    isJsonObject(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  )
}

function kindOf(value: Json): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return { string: 'a text', number: 'a number', boolean: 'true or false', object: 'an object' }[
    typeof value as 'string' | 'number' | 'boolean' | 'object'
  ]
}

function unusable(message: string): StepError {
  return new StepError(message, { code: 'filter', retryable: false })
}
