import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import ajvFormats from 'ajv-formats'
import { linearRegex, UnusableRegex } from '../../platform/expressions/regex.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import { membersOf, pointerTo } from '../../platform/json-pointer.js'
import { faultsOfErrors } from '../../steps/params.js'

/** One thing wrong with an argument. */
export interface ArgumentFault {
  /** The argument's name; empty where it is about all of them. */
  arg: string
  /** JSON pointer to the value at fault among the arguments. */
  pointer: string
  detail: string
  code: string
}

export type CheckedArguments = { ok: true; args: JsonObject } | { ok: false; faults: ArgumentFault[] }

/** All arguments become one variable of a process, and Linux takes none above 128 KiB. */
const MOST_BYTES = 100_000
const LONGEST_LIST = 10_000
const DEEPEST = 30
const MOST_FAULTS = 100
/** What would reach beyond the schema, or change what other words in it mean. */
const NOT_HERE = ['$id', '$anchor', '$dynamicRef', '$dynamicAnchor', '$async', '$vocabulary']
/** Keywords that hold values, in which such words mean nothing. */
const DATA = new Set(['default', 'enum', 'const', 'examples'])
const KEPT = 200

/** Ajv tells patterns apart by their text. */
const regExp = Object.assign(
  (pattern: string) => {
    const regex = linearRegex(pattern)
    return { test: (text: string) => regex.test(text), toString: () => `/${pattern}/` }
  },
  { code: 'linearRegex' },
)

function newAjv(): Ajv2020 {
  const ajv = new Ajv2020({
    allErrors: true,
    useDefaults: true,
    strict: false,
    logger: false,
    ownProperties: true,
    code: { regExp },
  })
  ajvFormats.default(ajv)
  for (const format of ['secret', 'path', 'file', 'directory']) ajv.addFormat(format, true)
  return ajv
}

/** By the text of the schema: what was asked for last stands last. */
const compiled = new Map<string, ValidateFunction>()

/** Of a schema that is known to be one. Each has a compiler of its own, so that no schema can be seen from another. */
function validatorOf(schema: JsonObject): ValidateFunction {
  const key = JSON.stringify(schema)
  const known = compiled.get(key) ?? newAjv().compile(closed(schema))
  compiled.delete(key)
  compiled.set(key, known)
  for (const oldest of compiled.keys()) {
    if (compiled.size <= KEPT) break
    compiled.delete(oldest)
  }
  return known
}

/** What the schema does not name is no argument, unless its author says otherwise. */
function closed(schema: JsonObject): JsonObject {
  const saysSo = ['additionalProperties', 'patternProperties', 'unevaluatedProperties', 'propertyNames']
  return saysSo.some((word) => schema[word] !== undefined) ? schema : { ...schema, additionalProperties: false }
}

/** The arguments of a run with their defaults, or every fault of them. No fault tells a value. */
export function checkArguments(schema: JsonObject, given: JsonObject): CheckedArguments {
  const tooMuch = boundsOf(given)
  if (tooMuch) return { ok: false, faults: [{ arg: '', pointer: '', detail: tooMuch, code: 'too_large' }] }
  const args = structuredClone(given)
  const validate = validatorOf(schema)
  try {
    if (validate(args)) return { ok: true, args }
  } catch (error) {
    if (!(error instanceof UnusableRegex)) throw error
    return { ok: false, faults: [{ arg: '', pointer: '', detail: error.message, code: 'pattern' }] }
  }
  return { ok: false, faults: faultsOf(validate.errors ?? []).slice(0, MOST_FAULTS) }
}

function faultsOf(errors: readonly ErrorObject[]): ArgumentFault[] {
  return faultsOfErrors(errors).map(({ path, detail, code }) => {
    const pointer = path.slice('/params'.length)
    const [arg = ''] = membersOf(pointer)
    const unknown = code === 'unknown_parameter' && pointer === pointerTo('', arg)
    return { arg, pointer, code, detail: unknown ? `'${arg.slice(0, 100)}' is not an argument of this job` : detail }
  })
}

export interface SchemaFault {
  /** JSON pointer into the schema. */
  pointer: string
  detail: string
  code: string
}

/** What keeps this from being a JSON Schema that arguments can be checked against. */
export function faultsOfSchema(schema: JsonObject): SchemaFault[] {
  const found = [...forbiddenIn(schema, '', 0)]
  if (found.length > 0) return found.slice(0, MOST_FAULTS)
  const ajv = newAjv()
  if (!ajv.validateSchema(schema)) {
    const faults = (ajv.errors ?? []).map(({ instancePath, message, keyword }) => ({
      pointer: instancePath,
      detail: message ?? 'it is not valid',
      code: keyword,
    }))
    return withoutEchoes(faults).slice(0, MOST_FAULTS)
  }
  try {
    ajv.compile(closed(schema))
    return []
  } catch (error) {
    return [{ pointer: '', detail: error instanceof Error ? error.message : String(error), code: 'schema' }]
  }
}

/** Faults of a member's default, each of which begins with the member's name. */
export function faultsOfDefaults(name: string, schema: JsonObject): string[] {
  const { default: value } = schema
  const checked = checkArguments({ type: 'object', properties: { [name]: schema } }, { [name]: value ?? null })
  return checked.ok ? [] : checked.faults.map(({ detail }) => detail)
}

/** The same place is told of once, and not because of what the meta-schema's branches say about it. */
function withoutEchoes(faults: SchemaFault[]): SchemaFault[] {
  const told = new Map<string, SchemaFault>()
  for (const fault of faults) if (!told.has(fault.pointer)) told.set(fault.pointer, fault)
  return [...told.values()]
}

function* forbiddenIn(value: Json, pointer: string, depth: number): Generator<SchemaFault> {
  if (depth > DEEPEST) {
    yield { pointer, detail: `it is nested more than ${DEEPEST} levels deep`, code: 'too_deep' }
    return
  }
  if (Array.isArray(value)) {
    for (const [at, item] of value.entries()) yield* forbiddenIn(item, pointerTo(pointer, String(at)), depth + 1)
    return
  }
  if (!isJsonObject(value)) return
  for (const [word, member] of Object.entries(value)) {
    const below = pointerTo(pointer, word)
    if (word === '__proto__') yield { pointer: below, detail: `'${word}' is not a name here`, code: 'name' }
    if (DATA.has(word)) continue
    if (NOT_HERE.includes(word) && typeof member === 'string')
      yield { pointer: below, detail: `'${word}' is not taken here`, code: 'keyword' }
    if (word === '$ref' && typeof member === 'string' && !member.startsWith('#'))
      yield { pointer: below, detail: "'$ref' may only lead to a place in the same schema", code: 'ref' }
    if (word === 'pattern' && typeof member === 'string') yield* patternFault(member, below)
    if (word === 'patternProperties' && isJsonObject(member))
      for (const pattern of Object.keys(member)) yield* patternFault(pattern, pointerTo(below, pattern))
    yield* forbiddenIn(member, below, depth + 1)
  }
}

function* patternFault(pattern: string, pointer: string): Generator<SchemaFault> {
  try {
    linearRegex(pattern)
  } catch (error) {
    if (!(error instanceof UnusableRegex)) throw error
    yield { pointer, detail: error.message, code: 'pattern' }
  }
}

/** Why this is too much to be checked at all. */
function boundsOf(given: JsonObject): string | undefined {
  const pending: { value: Json; depth: number }[] = [{ value: given, depth: 0 }]
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { value, depth } = next
    if (typeof value !== 'object' || value === null) continue
    if (depth > DEEPEST) return `arguments may be nested at most ${DEEPEST} levels deep`
    if (Array.isArray(value) && value.length > LONGEST_LIST)
      return `a list among the arguments may have at most ${LONGEST_LIST} entries`
    for (const member of Object.values(value)) pending.push({ value: member, depth: depth + 1 })
  }
  if (Buffer.byteLength(JSON.stringify(given)) > MOST_BYTES)
    return `all arguments together may have at most ${MOST_BYTES} bytes of JSON`
  return undefined
}
