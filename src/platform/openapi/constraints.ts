import { ValidateBy, type ValidationOptions } from 'class-validator'

const RFC_3339 =
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$/
const TIME_OF_DAY = /^([01]\d|2[0-3]):[0-5]\d$/

/** PostgreSQL's text cannot hold U+0000, so no text of ours does. Values that are no text are left to other checks. */
export function HoldsNoNul(options: ValidationOptions = {}): PropertyDecorator {
  return constraint('holdsNoNul', (value) => typeof value !== 'string' || !value.includes('\0'), {
    message: 'must not hold the character U+0000',
    context: { code: 'nul' },
    ...options,
  })
}

/** There is a value, be it null. */
export function IsGiven(): PropertyDecorator {
  return constraint('isGiven', (value) => value !== undefined, {
    message: 'is required',
    context: { code: 'required' },
  })
}

/** A full date and time with an offset; `2026-02-30T00:00:00Z` is none. */
export function IsRfc3339(): PropertyDecorator {
  return constraint('isRfc3339', isRfc3339, {
    message: 'must be a date and time such as 2026-01-31T12:00:00Z',
    context: { code: 'date_time' },
  })
}

export function IsDayOrRfc3339(): PropertyDecorator {
  return constraint('isDayOrRfc3339', (value) => isRfc3339(value) || isRfc3339(`${value}T00:00:00Z`), {
    message: 'must be a date such as 2026-01-31, or a date and time such as 2026-01-31T12:00:00Z',
    context: { code: 'date_time' },
  })
}

export function IsTimeOfDay(): PropertyDecorator {
  return constraint('isTimeOfDay', (value) => typeof value === 'string' && TIME_OF_DAY.test(value), {
    message: 'must be a time of day such as 23:30',
    context: { code: 'time' },
  })
}

/** An object whose members are all text. */
export function HoldsTextOnly(): PropertyDecorator {
  const holds = (value: unknown) =>
    typeof value === 'object' && value !== null && Object.values(value).every((member) => typeof member === 'string')
  return constraint('holdsTextOnly', holds, { message: 'must hold text only', context: { code: 'type' } })
}

/** A list without lists in it: class-validator would look for objects in those, and find none to complain of. */
export function HoldsNoLists(): PropertyDecorator {
  const holds = (value: unknown) => !Array.isArray(value) || !value.some(Array.isArray)
  return constraint('holdsNoLists', holds, { message: 'must hold objects only', context: { code: 'type' } })
}

function isRfc3339(value: unknown): boolean {
  if (typeof value !== 'string' || !RFC_3339.test(value)) return false
  const [year = 0, month = 0, day = 0] = value.slice(0, 10).split('-').map(Number)
  return day <= new Date(Date.UTC(year, month, 0)).getUTCDate()
}

function constraint(name: string, holds: (value: unknown) => boolean, options: ValidationOptions): PropertyDecorator {
  return ValidateBy({ name, validator: { validate: holds } }, options)
}
