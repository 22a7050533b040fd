import type { Json, JsonObject } from '../../platform/json.js'

/** What one query or scan may gather. */
export const MAX_ITEMS = 10_000

/** A number of DynamoDB: 38 digits, as text. */
export class DynamoNumber {
  constructor(readonly digits: string) {}

  /** Exact as a JSON number, or the digits as text. */
  toJson(): Json {
    const value = Number(this.digits)
    const isExact = Number.isInteger(value)
      ? Number.isSafeInteger(value)
      : String(value) === this.digits.replace(/^(-?)\./, '$10.')
    return isExact ? value : this.digits
  }
}

/** An item as JSON can carry it: sets as lists, bytes as base64. */
export function itemJson(item: Record<string, unknown>): JsonObject {
  return Object.fromEntries(Object.entries(item).map(([name, value]) => [name, valueJson(value)]))
}

function valueJson(value: unknown): Json {
  if (value instanceof DynamoNumber) return value.toJson()
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (value instanceof Set) return [...value].map(valueJson)
  if (Array.isArray(value)) return value.map(valueJson)
  if (typeof value === 'object' && value !== null) return itemJson(value as Record<string, unknown>)
  return (value ?? null) as Json
}
