import 'reflect-metadata'
import { vi } from 'vitest'

/** A wait ends with what it waits for. How long it may take is the machine's affair, so the limit lies just below that of a test. */
const LIMIT_MS = 15_000

const { waitFor, waitUntil } = vi
vi.waitFor = (callback, options) => waitFor(callback, limited(options))
vi.waitUntil = (callback, options) => waitUntil(callback, limited(options))

/** Vitest's own limit is a second. */
function limited<T extends { timeout?: number }>(options: number | T = {} as T): number | T {
  return typeof options === 'number' ? options : { timeout: LIMIT_MS, ...options }
}
