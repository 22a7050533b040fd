import { createHash } from 'node:crypto'

/** Tells whether two requests with the same `Idempotency-Key` ask for the same. */
export function requestHashOf(request: unknown): string {
  return createHash('sha256').update(JSON.stringify(request)).digest('hex')
}
