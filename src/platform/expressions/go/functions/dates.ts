import { InvalidDuration, parseDuration } from '../../../duration.js'
import type { Json } from '../../../json.js'
import { type Call, Fault, type GoFunction } from '../call.js'
import { formatDate, parseDate } from '../layout.js'

const LONGEST_LAYOUT = 500
const ISO = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/

/** Moments are texts such as 2026-01-31T12:00:00.000Z, or seconds since 1970 where they are numbers. Layouts are Go's. */
export const dates: Readonly<Record<string, GoFunction>> = {
  /** When the layer began to be worked out: the same wherever it stands in one expression. */
  now: { least: 0, most: 0, run: (call) => call.now.toISOString() },
  /** `date "2006-01-02" now`, in UTC; with a third argument in the middle in that zone. */
  date: { least: 2, most: 3, run: (call) => shown(call, call.has(2) ? call.text(1) : 'UTC', call.count - 1) },
  dateInZone: { least: 3, most: 3, run: (call) => shown(call, call.text(2), 1) },
  /** `dateModify "-1h30m" now` */
  dateModify: { least: 2, most: 2, run: (call) => iso(new Date(moment(call, 1).getTime() + span(call, 0))) },
  addDate: { least: 4, most: 4, run: addDate },
  /** `toDate "2006-01-02" "2026-01-31"` */
  toDate: { least: 2, most: 2, run: toDate },
  unixEpoch: { least: 1, most: 1, run: (call) => Math.floor(moment(call, 0).getTime() / 1000) },
  unixMilli: { least: 1, most: 1, run: (call) => moment(call, 0).getTime() },
  /** Seconds from the first to the second. */
  secondsBetween: { least: 2, most: 2, run: (call) => (moment(call, 1).getTime() - moment(call, 0).getTime()) / 1000 },
}

function shown(call: Call, zone: string, at: number): string {
  const layout = call.text(0)
  if (layout.length > LONGEST_LAYOUT)
    throw new Fault(`${call.name} takes a layout of at most ${LONGEST_LAYOUT} characters`)
  return call.made(formatDate(moment(call, at), layout, zone))
}

function moment(call: Call, at: number): Date {
  const value = call.value(at)
  if (typeof value === 'number') return valid(call, new Date(value * 1000))
  const text = call.text(at)
  if (text.length > 40 || !ISO.test(text))
    throw new Fault(`${call.name} takes a time such as 2026-01-31T12:00:00Z, and this text is none`)
  const hasZone = /(?:Z|[+-]\d{2}:?\d{2})$/.test(text.slice(10))
  return valid(call, new Date(text.length > 10 && !hasZone ? `${text.replace(' ', 'T')}Z` : text.replace(' ', 'T')))
}

function valid(call: Call, date: Date): Date {
  if (Number.isNaN(date.getTime())) throw new Fault(`${call.name} takes a time, and there is none such`)
  return date
}

function span(call: Call, at: number): number {
  const text = call.text(at)
  const [, sign, size = ''] = /^([+-]?)(.{0,100})$/s.exec(text) ?? []
  try {
    return (sign === '-' ? -1 : 1) * parseDuration(size)
  } catch (error) {
    if (error instanceof InvalidDuration) throw new Fault(`${call.name} takes a duration such as -1h30m`)
    throw error
  }
}

function iso(date: Date): string {
  if (Number.isNaN(date.getTime())) throw new Fault('the time is too far away')
  return date.toISOString()
}

/** `addDate 0 1 -1 now`: years, months and days further. */
function addDate(call: Call): Json {
  const date = moment(call, 3)
  date.setUTCFullYear(
    date.getUTCFullYear() + call.whole(0),
    date.getUTCMonth() + call.whole(1),
    date.getUTCDate() + call.whole(2),
  )
  return iso(date)
}

function toDate(call: Call): Json {
  const [layout, text] = [call.text(0), call.text(1)]
  if (layout.length > LONGEST_LAYOUT || text.length > LONGEST_LAYOUT)
    throw new Fault('toDate takes no text that is so long')
  const found = parseDate(text, layout)
  if (!found) throw new Fault('toDate takes a text of that layout, and this one is not')
  return iso(found)
}
