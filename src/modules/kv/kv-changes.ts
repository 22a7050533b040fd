import { StepError } from '../../engine/step.js'
import type { Json } from '../../platform/json.js'
import type { KvEntry } from './kv-entries.js'

/** What an entry becomes when it is changed in place. A value of the wrong kind is told, and stays. */

export function increased(key: string, entry: KvEntry | undefined, amount: number): number {
  // The sum would tell it.
  if (entry?.secret) throw refused(`the value of '${key}' is a secret`)
  const current = entry?.value ?? 0
  if (typeof current !== 'number') throw refused(`the value of '${key}' is not a number`)
  const sum = current + amount
  if (!Number.isFinite(sum)) throw refused(`the value of '${key}' becomes too large`)
  return sum
}

export function appended(key: string, entry: KvEntry | undefined, value: Json): Json[] {
  const list = entry?.value ?? []
  if (!Array.isArray(list)) throw refused(`the value of '${key}' is not a list`)
  return [...list, value]
}

function refused(message: string): StepError {
  return new StepError(message, { retryable: false })
}
