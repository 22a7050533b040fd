import { DAYS_OF_MONTH, DAYS_OF_WEEK, invalid, isAny, numberOf, valuesOf } from './cron-fields.js'

/** A day of the calendar, with what the fields ask of it. */
export interface Day {
  /** From 1. */
  date: number
  /** The last date of its month. */
  last: number
  /** From 0, Sunday. */
  weekday: number
}

type Rule = (day: Day) => boolean

const LAST = /^L(?:-(\d{1,2}))?(W)?$/i
const NEAREST = /^(\d{1,2})W$/i
const NTH = /^([^#]+)#([1-5]|L)$/i
const LAST_WEEKDAY = /^([0-7]|[A-Z]{3})L$/i

/**
 * Which days an expression means. Where both fields say something, one of them is enough, as in Vixie cron and OCPS; with `+` before the
 * day of the week both must hold (OCPS 1.4).
 */
export function daysOf(dates: string, weekdays: string): Rule {
  const both = weekdays.startsWith('+')
  const byDate = isAny(dates) ? undefined : dateRule(dates)
  const weekdayText = both ? weekdays.slice(1) : weekdays
  const byWeekday = isAny(weekdayText) ? undefined : weekdayRule(weekdayText)
  if (!byDate || !byWeekday) return byDate ?? byWeekday ?? (() => true)
  return both ? (day) => byDate(day) && byWeekday(day) : (day) => byDate(day) || byWeekday(day)
}

/** Plain dates, `L` (the last), `L-3` (the third before it), `15W` (the weekday nearest to it, within the month), `LW`. */
function dateRule(text: string): Rule {
  return anyOf(text, (item) => {
    const last = LAST.exec(item)
    if (last) {
      const before = Number(last[1] ?? 0)
      if (before > 30) throw invalid(DAYS_OF_MONTH, item, 'goes back further than any month')
      return last[2]
        ? (day) => day.last > before && isNearest(day, day.last - before)
        : (day) => day.date === day.last - before
    }
    const nearest = NEAREST.exec(item)
    if (nearest) {
      const date = numberOf(nearest[1] as string, DAYS_OF_MONTH)
      return (day) => date <= day.last && isNearest(day, date)
    }
    const dates = valuesOf([item], DAYS_OF_MONTH)
    return (day) => dates.has(day.date)
  })
}

/** Plain days, `FRI#2` (the second of the month), `5L` or `FRI#L` (its last). `FRI-SAT#L` holds for each of the range. */
function weekdayRule(text: string): Rule {
  return anyOf(text, (item) => {
    const nth = NTH.exec(item)
    const last = LAST_WEEKDAY.exec(item)
    const weekdays = valuesOf([(nth ?? last)?.[1] ?? item], DAYS_OF_WEEK)
    if (last || nth?.[2]?.toUpperCase() === 'L') return (day) => weekdays.has(day.weekday) && day.date + 7 > day.last
    if (nth) return (day) => weekdays.has(day.weekday) && Math.ceil(day.date / 7) === Number(nth[2])
    return (day) => weekdays.has(day.weekday)
  })
}

function anyOf(text: string, ruleOf: (item: string) => Rule): Rule {
  const rules = text.split(',').map(ruleOf)
  return rules.length === 1 ? (rules[0] as Rule) : (day) => rules.some((rule) => rule(day))
}

/** Whether a day is the one from Monday to Friday that is nearest to a date of its month, and in the same month. */
function isNearest({ date, last, weekday }: Day, wanted: number): boolean {
  const wantedWeekday = (weekday + wanted - date + 35) % 7
  if (wantedWeekday === 6) return date === (wanted === 1 ? 3 : wanted - 1)
  if (wantedWeekday === 0) return date === (wanted === last ? wanted - 2 : wanted + 1)
  return date === wanted
}
