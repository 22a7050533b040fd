import { isDuration, parseDuration } from '../duration.js'

const SECOND_MS = 1_000
const DAY_MS = 86_400_000
const LONGEST_MS = 366 * DAY_MS

/** Weeks, days, hours, minutes, seconds of an ISO 8601 duration; months and years are left out, because they have no length of their own. */
const ISO = /^P(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?=\d)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?$/i
const ISO_UNITS_MS = [7 * DAY_MS, DAY_MS, 3_600_000, 60_000, SECOND_MS]
const DAYS = /^(\d{1,9})d$/i

/** A text that was meant to be an interval. */
export class InvalidInterval extends Error {
  constructor(what: string) {
    super(what)
    this.name = 'InvalidInterval'
  }
}

/** Milliseconds of an interval as people write it: `15m`, `1h30m`, `2d`, `PT15M`, `P1DT12H`. From a second to a year of 366 days. */
export function parseInterval(text: string): number {
  const ms = readInterval(text.trim())
  if (ms === undefined) throw new InvalidInterval('it must be an interval such as 15m, 1h30m, 2d or PT15M')
  if (ms < SECOND_MS || ms > LONGEST_MS) throw new InvalidInterval('it must be from one second to 366 days')
  return Math.round(ms)
}

function readInterval(text: string): number | undefined {
  const days = DAYS.exec(text)
  if (days) return Number(days[1]) * DAY_MS
  const iso = ISO.exec(text)
  if (iso && /\d/.test(text)) {
    return ISO_UNITS_MS.reduce((sum, unit, index) => sum + Number(iso[index + 1] ?? 0) * unit, 0)
  }
  return isDuration(text) ? parseDuration(text) : undefined
}
