import { type Day, daysOf } from './cron-days.js'
import { HOURS, InvalidCron, MINUTES, MONTHS_OF_YEAR, SECONDS, valuesOf } from './cron-fields.js'
import type { TimeZone } from './time-zone.js'

const NICKNAMES: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Longer than any repeated time since 1970, and shorter than the time between two changes of the clocks. */
const REPEAT_MS = 6 * HOUR_MS
/** A look at a far day begins this much before it: more than clocks differ in the meantime. */
const APPROACH_MS = 36 * HOUR_MS
/** After as many years the calendar repeats, weekdays included: what has not come by then never does. */
const CYCLE_YEARS = 400

/**
 * A cron expression: 5 fields, or 6 with seconds first; names, lists, ranges that wrap, steps, `L`, `W`, `#`, `+`, nicknames.
 *
 * Slots are the moments that it names in a time zone. Where clocks jump forward, what they leave out comes once, right after the jump.
 * Where they go back, an expression that names hours means what the clock shows, and comes once, the first time; one that runs in every
 * hour means the passing of time, and goes on through the repeated hour. `docs/decisions/0015-slots-by-our-own-arithmetic.md`.
 */
export class CronExpression {
  private readonly seconds: number[]
  private readonly minutes: number[]
  private readonly hours: number[]
  private readonly months: ReadonlySet<number>
  private readonly includes: (day: Day) => boolean

  /** Throws `InvalidCron`. */
  constructor(readonly text: string) {
    const plain = NICKNAMES[text.trim().toLowerCase()] ?? text.trim()
    const fields = plain.split(/\s+/)
    if (fields.length === 5) fields.unshift('0')
    if (fields.length !== 6 || plain === '')
      throw new InvalidCron('it must have 5 fields, or 6 with seconds first, or be a nickname such as @daily')
    const [seconds, minutes, hours, dates, months, weekdays] = fields as [
      string,
      string,
      string,
      string,
      string,
      string,
    ]
    const listed = (field: string) => field.split(',')
    const sorted = (values: Set<number>) => [...values].sort((one, other) => one - other)
    this.seconds = sorted(valuesOf(listed(seconds), SECONDS))
    this.minutes = sorted(valuesOf(listed(minutes), MINUTES))
    this.hours = sorted(valuesOf(listed(hours), HOURS))
    this.months = valuesOf(listed(months), MONTHS_OF_YEAR)
    this.includes = daysOf(dates, weekdays)
  }

  /** The first slot after a moment; undefined where there never is one. */
  next(after: Date, zone: TimeZone): Date | undefined {
    let at = Math.floor(after.getTime() / 1000) * 1000 + 1000
    if (this.makesUpFor(at, zone.offsetAt(at - 1000), zone.offsetAt(at))) return new Date(at)
    if (!this.isHourly) at = pastRepeat(at, zone)
    for (;;) {
      const offset = zone.offsetAt(at)
      const wall = this.firstWall(at + offset)
      if (wall === undefined) return undefined
      const slot = wall - offset
      const until = Math.min(slot, at + REPEAT_MS)
      const change = zone.firstChange(at, until)
      if (change === undefined) {
        if (until === slot) return new Date(slot)
        at = Math.max(until, slot - APPROACH_MS)
        continue
      }
      const changed = zone.offsetAt(change)
      if (this.makesUpFor(change, offset, changed)) return new Date(change)
      at = changed < offset && !this.isHourly ? change + offset - changed : change
    }
  }

  private get isHourly(): boolean {
    return this.hours.length === 24
  }

  /** Whether a change of the clocks leaves out a wall time that fits. */
  private makesUpFor(change: number, before: number, after: number): boolean {
    return after > before && (this.firstWall(change + before) ?? Infinity) < change + after
  }

  /** The first wall time that fits, from this one on. */
  private firstWall(from: number): number | undefined {
    const start = new Date(from)
    let time = from - Math.floor(from / DAY_MS) * DAY_MS
    let date = start.getUTCDate()
    const firstMonth = start.getUTCFullYear() * 12 + start.getUTCMonth()
    for (let count = firstMonth; count <= firstMonth + CYCLE_YEARS * 12; count++, date = 1, time = 0) {
      const month = count % 12
      if (!this.months.has(month + 1)) continue
      const first = Date.UTC(Math.floor(count / 12), month, 1)
      const firstWeekday = new Date(first).getUTCDay()
      const last = new Date(Date.UTC(Math.floor(count / 12), month + 1, 0)).getUTCDate()
      for (; date <= last; date++, time = 0) {
        if (!this.includes({ date, last, weekday: (firstWeekday + date - 1) % 7 })) continue
        const found = this.firstTime(time)
        if (found !== undefined) return first + (date - 1) * DAY_MS + found
      }
    }
    return undefined
  }

  /** The first time of a day that fits, from this one on, in milliseconds. */
  private firstTime(from: number): number | undefined {
    const wanted = Math.ceil(from / 1000)
    for (const hour of this.hours) {
      if (hour * 3600 + 3599 < wanted) continue
      for (const minute of this.minutes) {
        const start = hour * 3600 + minute * 60
        if (start + 59 < wanted) continue
        const second = this.seconds.find((value) => start + value >= wanted)
        if (second !== undefined) return (start + second) * 1000
      }
    }
    return undefined
  }
}

/** True for what can be read as an expression, be it one that never comes. */
export function isCron(text: string): boolean {
  try {
    new CronExpression(text)
    return true
  } catch {
    return false
  }
}

/** The moment itself, or, where clocks have gone back and show what they have shown before, the end of that. */
function pastRepeat(at: number, zone: TimeZone): number {
  const change = zone.firstChange(at - REPEAT_MS, at)
  if (change === undefined) return at
  const repeated = zone.offsetAt(change - 1000) - zone.offsetAt(change)
  return Math.max(at, change + repeated)
}
