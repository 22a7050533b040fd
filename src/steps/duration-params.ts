import { parseDuration } from '../platform/duration.js'
import type { JsonObject } from '../platform/json.js'

/** How long a step waits, in the spellings of all languages: `duration` is FlowRunner's, the numbers are flow8's. */
export const DURATION_PARAMS = {
  duration: {
    type: 'string',
    format: 'go-duration',
    description: 'How long to wait: numbers with units ns, us, ms, s, m, h.',
    examples: ['30s', '1h30m', '500ms'],
  },
  seconds: {
    type: 'number',
    minimum: 0,
    maximum: 3_155_760_000,
    description: 'Instead of duration: how many seconds.',
    examples: [30],
  },
  durationMs: {
    type: 'number',
    minimum: 0,
    maximum: 3_155_760_000_000,
    description: 'Instead of duration: how many milliseconds.',
    examples: [1500],
  },
}

export const ONE_DURATION = Object.keys(DURATION_PARAMS).map((name) => ({ required: [name] }))

/** Milliseconds. */
export function durationGiven({ duration, seconds, durationMs }: JsonObject): number {
  if (seconds !== undefined) return Number(seconds) * 1000
  return durationMs === undefined ? parseDuration(String(duration)) : Number(durationMs)
}
