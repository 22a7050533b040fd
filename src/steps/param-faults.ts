import type { ErrorObject } from 'ajv/dist/2020.js'
import { membersOf, pointerTo } from '../platform/json-pointer.js'
import { FORMATS } from './formats.js'

/** One thing wrong with a node's parameters. */
export interface ParamFault {
  /** JSON pointer into the node, such as `/params/url`; also of a parameter that is missing. */
  path: string
  /** For people, such as `url is required`. */
  detail: string
  /** For programs: `required`, `unknown_parameter`, `type`, `format` and so on. */
  code: string
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  array: 'a list',
  null: 'null',
}

const STANDARD_FORMATS: Readonly<Record<string, string>> = {
  'date-time': 'a time such as 2026-01-31T12:00:00Z',
  date: 'a date such as 2026-01-31',
  email: 'an e-mail address',
  uri: 'a URI',
  hostname: 'a host name',
}

type Words = (name: string, params: Record<string, unknown>) => string

const WORDS: Readonly<Record<string, Words>> = {
  type: (name, { type }) =>
    `${name} must be ${[type]
      .flat()
      .map((one) => TYPES[String(one)] ?? one)
      .join(' or ')}`,
  enum: (name, { allowedValues }) => `${name} must be one of ${(allowedValues as unknown[]).map(plain).join(', ')}`,
  const: (name, { allowedValue }) => `${name} must be ${plain(allowedValue)}`,
  format: (name, { format }) =>
    `${name} must be ${FORMATS[String(format)]?.wanted ?? STANDARD_FORMATS[String(format)] ?? `a valid ${format}`}`,
  pattern: (name, { pattern }) => `${name} must match ${pattern}`,
  minimum: (name, { limit }) => `${name} must be at least ${limit}`,
  maximum: (name, { limit }) => `${name} must be at most ${limit}`,
  exclusiveMinimum: (name, { limit }) => `${name} must be more than ${limit}`,
  exclusiveMaximum: (name, { limit }) => `${name} must be less than ${limit}`,
  minLength: (name, { limit }) =>
    limit === 1 ? `${name} must not be empty` : `${name} must have at least ${limit} characters`,
  maxLength: (name, { limit }) => `${name} must have at most ${limit} characters`,
  minItems: (name, { limit }) =>
    limit === 1 ? `${name} must not be empty` : `${name} must have at least ${limit} entries`,
  maxItems: (name, { limit }) => `${name} must have at most ${limit} entries`,
  minProperties: (name, { limit }) =>
    limit === 1 ? `${name} must not be empty` : `${name} must have at least ${limit} members`,
  uniqueItems: (name) => `${name} must not repeat an entry`,
  'false schema': (name) => `${name} cannot be given together with the other parameters`,
}

/** Says one error of Ajv in plain words; `branches` are the errors of an anyOf's or oneOf's alternatives. */
export function describeFault(error: ErrorObject, branches: readonly ErrorObject[] = []): ParamFault {
  const { keyword, instancePath, params } = error
  const fault = (pointer: string, detail: string, code = snakeCase(keyword)) => ({
    path: `/params${pointer}`,
    detail,
    code,
  })
  if (keyword === 'required' || keyword === 'dependentRequired') {
    const pointer = pointerTo(instancePath, String(params.missingProperty))
    const because = keyword === 'required' ? '' : ` with ${params.property}`
    return fault(pointer, `${nameOf(pointer)} is required${because}`, 'required')
  }
  if (keyword === 'additionalProperties' || keyword === 'unevaluatedProperties') {
    const member = String(params.additionalProperty ?? params.unevaluatedProperty)
    const pointer = pointerTo(instancePath, member)
    return fault(pointer, `'${nameOf(pointer).slice(0, 100)}' is not a parameter here`, 'unknown_parameter')
  }
  if (keyword === 'anyOf' || keyword === 'oneOf') return fault(instancePath, alternatives(error, branches))
  const words = WORDS[keyword]
  const name = nameOf(instancePath)
  return fault(instancePath, words ? words(name, params) : `${name} ${error.message}`)
}

function alternatives({ instancePath, params }: ErrorObject, branches: readonly ErrorObject[]): string {
  if (params.passingSchemas) return `${nameOf(instancePath)} matches several forms of which only one is allowed`
  if (branches.length > 0 && branches.every((one) => one.keyword === 'required' && one.instancePath === instancePath)) {
    const names = branches.map((one) => nameOf(pointerTo(instancePath, String(one.params.missingProperty))))
    return `one of ${[...new Set(names)].join(', ')} is required`
  }
  const details = branches.map((one) => describeFault(one).detail)
  return [...new Set(details)].slice(0, 5).join('; or ') || `${nameOf(instancePath)} has none of the allowed forms`
}

/** `/headers/X-Id` is `headers.X-Id`, `/conditions/0/action` is `conditions[0].action`. */
function nameOf(pointer: string): string {
  const members = membersOf(pointer)
  if (members.length === 0) return 'params'
  return members
    .map((member, at) => (at > 0 && /^[0-9]+$/.test(member) ? `[${member}]` : at > 0 ? `.${member}` : member))
    .join('')
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function snakeCase(keyword: string): string {
  return keyword.replaceAll(' ', '_').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
