import { CronExpression } from '../../platform/cron/cron-expression.js'
import { TimeZone } from '../../platform/cron/time-zone.js'

/** When a schedule comes: by a cron expression on the clocks of a time zone, or each so many milliseconds, counted from a moment. */
export type Rhythm = { cron: string; timezone: string } | { everyMs: number; countedFrom: Date }

/** The moments at which a schedule comes. */
export interface Slots {
  /** The first after a moment; undefined where there is none. */
  next(after: Date): Date | undefined
}

/** Throws `InvalidCron` or `UnknownTimeZone`. */
export function slotsOf(rhythm: Rhythm): Slots {
  return 'cron' in rhythm ? cronSlots(rhythm.cron, rhythm.timezone) : intervalSlots(rhythm.everyMs, rhythm.countedFrom)
}

function cronSlots(cron: string, timezone: string): Slots {
  const expression = new CronExpression(cron)
  const zone = TimeZone.of(timezone)
  return { next: (after) => expression.next(after, zone) }
}

/** Elapsed time, whatever clocks do. The first slot is one interval after the moment that is counted from. */
function intervalSlots(everyMs: number, countedFrom: Date): Slots {
  const from = countedFrom.getTime()
  return {
    next: (after) => new Date(from + everyMs * Math.max(1, Math.floor((after.getTime() - from) / everyMs) + 1)),
  }
}
