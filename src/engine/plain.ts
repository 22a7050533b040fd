import type { Json } from '../platform/json.js'
import { StepError } from './step.js'

const DEEPEST = 500
const LONGEST_MESSAGE = 4_000

/**
 * What a step produced as the journal would give it back, so that a run goes on with the same values whether or not it was interrupted:
 * dates as text, no undefined members, and no text that PostgreSQL cannot hold (U+0000, lone surrogates). What is plain already is
 * returned as it is. Throws `StepError` where there is no JSON for it.
 */
export function plainJson(value: unknown): Json {
  return plain(value, 0) ?? null
}

/** Text that PostgreSQL can hold. */
export function plainText(text: string): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed()
  return whole.includes('\0') ? whole.replaceAll('\0', '\uFFFD') : whole
}

/** A failure in words, whatever was thrown. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message || thrown.name
  if (typeof thrown === 'string') return thrown
  try {
    return JSON.stringify(thrown) ?? 'the step failed'
  } catch {
    return 'the step failed'
  }
}

/** Cuts a message that nobody would read to its end. Masking comes first: a secret cut in half is not recognised. */
export function shortened(message: string): string {
  return message.length > LONGEST_MESSAGE ? `${message.slice(0, LONGEST_MESSAGE).toWellFormed()}…` : message
}

function plain(value: unknown, depth: number): Json | undefined {
  switch (typeof value) {
    case 'string':
      return plainText(value)
    case 'boolean':
      return value
    case 'number':
      return Number.isFinite(value) ? value : null
    case 'bigint':
      return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString()
    case 'object':
      return value === null ? null : plainObject(value, depth)
    default:
      return undefined
  }
}

function plainObject(value: object, depth: number): Json | undefined {
  if (depth > DEEPEST)
    throw new StepError('the output refers to itself or is nested too deeply', { code: 'not_json', retryable: false })
  if (Array.isArray(value)) return plainList(value, depth)
  if ('toJSON' in value && typeof value.toJSON === 'function') return plain(value.toJSON(), depth + 1)
  let same = Object.getPrototypeOf(value) === Object.prototype
  const members: [string, Json][] = []
  for (const [name, before] of Object.entries(value)) {
    const after = plain(before, depth + 1)
    const plainName = plainText(name)
    same &&= after !== undefined && after === before && plainName === name
    if (after !== undefined) members.push([plainName, after])
  }
  return same ? (value as Json) : Object.fromEntries(members)
}

function plainList(list: readonly unknown[], depth: number): Json {
  let copy: Json[] | undefined
  for (let index = 0; index < list.length; index++) {
    const before = list[index]
    const after = plain(before, depth + 1) ?? null
    if (!copy && after !== before) copy = list.slice(0, index) as Json[]
    copy?.push(after)
  }
  return copy ?? (list as Json[])
}
