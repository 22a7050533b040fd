import type { ValidationError } from 'class-validator'
import { DomainError, type Fault } from '../errors/domain-error.js'

/** Faults that are told one by one; the rest is only counted. */
const MOST_FAULTS = 1_000

/** A body that was understood, but whose members are at fault. */
export class ValidationFailed extends DomainError {
  constructor(faults: Fault[]) {
    super('unprocessable', 'validation-error', 'The request failed validation', 'The request was invalid', {
      faults: shortened(faults),
    })
  }
}

/** A request that cannot be understood: its path, its query, its headers or the syntax of its body. */
export class InvalidRequest extends DomainError {
  constructor(message: string, faults: Fault[] = []) {
    super('invalid', 'invalid-request', 'The request cannot be understood', message, { faults })
  }
}

function shortened(faults: Fault[]): Fault[] {
  const untold = faults.length - MOST_FAULTS
  if (untold <= 0) return faults
  return [
    ...faults.slice(0, MOST_FAULTS),
    { pointer: '#', detail: `and ${untold} more faults`, code: 'too_many_faults' },
  ]
}

/** What class-validator found, as faults that point at each member by RFC 6901. One fault per member: the first that explains it. */
export function bodyFaults(errors: readonly ValidationError[]): Fault[] {
  return faultsBelow(errors, '#')
}

/** The same for the parameters of the query. */
export function queryFaults(errors: readonly ValidationError[]): Fault[] {
  return faultsBelow(errors, '#').map((fault) => ({ ...fault, pointer: '#', parameter: fault.pointer.slice(2) }))
}

function faultsBelow(errors: readonly ValidationError[], parent: string): Fault[] {
  return errors.flatMap((error) => {
    const pointer = `${parent}/${error.property.replaceAll('~', '~0').replaceAll('/', '~1')}`
    const below = faultsBelow(error.children ?? [], pointer)
    return error.constraints ? [faultOf(error, pointer), ...below] : below
  })
}

function faultOf(error: ValidationError, pointer: string): Fault {
  const constraints = error.constraints ?? {}
  const label = inWords(error.property)
  if ('whitelistValidation' in constraints) {
    return { pointer, detail: `'${error.property}' is not known here`, code: 'unknown_member' }
  }
  if (error.value === undefined) return { pointer, detail: `${label} is required`, code: 'required' }
  const faults = Object.entries(constraints).map(([name, message]) => ({
    code: (error.contexts?.[name]?.code as string | undefined) ?? 'invalid',
    detail: `${label} ${message}`,
  }))
  const [first] = faults
  const chosen =
    faults.find((fault) => fault.code === 'type') ?? faults.find((fault) => fault.code === 'empty') ?? first
  return { pointer, detail: chosen?.detail ?? `${label} is invalid`, code: chosen?.code ?? 'invalid' }
}

/** `flow_id` and `flowId` → `Flow id`; the place in a list → `Item 0`. */
function inWords(property: string): string {
  if (/^\d+$/.test(property)) return `Item ${property}`
  const words = property
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ')
    .toLowerCase()
  return words.charAt(0).toUpperCase() + words.slice(1)
}
