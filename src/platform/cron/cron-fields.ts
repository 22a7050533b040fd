/** A text that was meant to be a cron expression. */
export class InvalidCron extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'InvalidCron'
  }
}

/** One field of an expression: what it is called, what it holds, and the names of its values. */
export interface Field {
  name: string
  min: number
  max: number
  names?: readonly string[]
  /** The value that the first name stands for. */
  firstName?: number
}

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC']
const DAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT']

export const SECONDS: Field = { name: 'second', min: 0, max: 59 }
export const MINUTES: Field = { name: 'minute', min: 0, max: 59 }
export const HOURS: Field = { name: 'hour', min: 0, max: 23 }
export const DAYS_OF_MONTH: Field = { name: 'day of month', min: 1, max: 31 }
export const MONTHS_OF_YEAR: Field = { name: 'month', min: 1, max: 12, names: MONTHS, firstName: 1 }
/** 7 is Sunday too; it is folded into 0 once the field is read. */
export const DAYS_OF_WEEK: Field = { name: 'day of week', min: 0, max: 7, names: DAYS, firstName: 0 }

const RANGE = /^([^-/]+)(?:-([^-/]+))?(?:\/(\d{1,9}))?$/

/**
 * The values of a list of plain items: `*`, `5`, `MON`, `1-5`, `22-2` (which wraps), `*\/15`, `5-50/10`, and `5/15`, which goes on to the
 * field's end. The days of the week are numbers from 0 to 6 afterwards.
 */
export function valuesOf(items: readonly string[], field: Field): Set<number> {
  const values = new Set<number>()
  for (const item of items) for (const value of itemValues(item, field)) values.add(value)
  return values
}

export function isAny(text: string): boolean {
  return text === '*' || text === '?'
}

/** One value by number or name. */
export function numberOf(text: string, field: Field): number {
  const named = field.names?.indexOf(text.toUpperCase()) ?? -1
  if (named >= 0) return named + (field.firstName ?? 0)
  const value = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= field.min && value <= field.max))
    throw invalid(field, text, `is not from ${field.min} to ${field.max}`)
  return value
}

export function invalid({ name }: Field, text: string, what: string): InvalidCron {
  return new InvalidCron(`'${text.slice(0, 40)}' in the field of the ${name} ${what}`)
}

function itemValues(item: string, field: Field): number[] {
  const [, first, last, stepText] = RANGE.exec(item) ?? []
  if (first === undefined) throw invalid(field, item, 'cannot be read')
  const step = stepText === undefined ? 1 : Number(stepText)
  if (step < 1) throw invalid(field, item, 'has a step of 0')
  const top = field === DAYS_OF_WEEK ? 6 : field.max
  if (first === '*') {
    if (last !== undefined) throw invalid(field, item, 'cannot be read')
    return stepped(field.min, top, step)
  }
  const from = numberOf(first, field)
  if (last === undefined)
    return stepText === undefined ? [from % period(field)] : stepped(from % period(field), top, step)
  const to = numberOf(last, field)
  const start = from > to ? from % period(field) : from
  if (start <= to) return stepped(start, to, step).map((value) => value % period(field))
  const size = top - field.min + 1
  return stepped(start, to + size, step).map((value) => ((value - field.min) % size) + field.min)
}

/** The days of the week begin anew at 7; of the other fields no value is as large as this. */
function period(field: Field): number {
  return field === DAYS_OF_WEEK ? 7 : 100
}

function stepped(from: number, to: number, step: number): number[] {
  const values: number[] = []
  for (let value = from; value <= to; value += step) values.push(value)
  return values
}
