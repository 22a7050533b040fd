const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}
/** As in Go, whose durations are 64-bit nanoseconds: a little over 292 years. */
const LONGEST_MS = 2 ** 63 / 1e6
const PART = /([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)/y

/** A text that was meant to be a duration. */
export class InvalidDuration extends Error {
  constructor(text: string) {
    super(
      `'${text.slice(0, 50)}' is not a duration: write a number and a unit (ns, us, ms, s, m, h), such as 30s or 1h30m`,
    )
    this.name = 'InvalidDuration'
  }
}

/** Milliseconds of a duration as Go writes it: `500ms`, `1.5h`, `1h30m`, `0`. Never negative. Throws `InvalidDuration`. */
export function parseDuration(text: string): number {
  if (text === '0') return 0
  let total = 0
  let end = 0
  while (end < text.length) {
    PART.lastIndex = end
    const part = PART.exec(text)
    if (!part) throw new InvalidDuration(text)
    total += Number(part[1]) * (UNIT_MS[part[2] as string] as number)
    end = PART.lastIndex
  }
  if (end === 0 || total > LONGEST_MS) throw new InvalidDuration(text)
  return total
}

/** True where `parseDuration` would not throw. */
export function isDuration(text: string): boolean {
  try {
    parseDuration(text)
    return true
  } catch {
    return false
  }
}

/** Milliseconds as Go prints them, to the microsecond: `12.345ms`, `1.5s`, `1m2s`, `1h0m0s`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${round(ms)}ms`
  const seconds = round((ms / 1000) % 60)
  const minutes = Math.floor(ms / 60_000)
  if (minutes === 0) return `${seconds}s`
  return minutes < 60 ? `${minutes}m${seconds}s` : `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}s`
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
