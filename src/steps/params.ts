import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import ajvFormats from 'ajv-formats'
import type { StepType } from '../engine/step.js'
import { isJsonObject, type Json, type JsonObject } from '../platform/json.js'
import { pointerTo } from '../platform/json-pointer.js'
import { FORMATS } from './formats.js'
import { describeFault, type ParamFault } from './param-faults.js'

export type { ParamFault } from './param-faults.js'

export interface CheckOptions {
  /**
   * `skip` at upload: what holds an expression may become anything, so nothing at, below or because of it is a fault; `params` stay as
   * they are.
   * `none` at run time: every value is final, and missing members get their defaults in place.
   */
  expressions: 'skip' | 'none'
  /** What expressions begin with; `${` where absent. */
  mark?: string
}

const MAX_FAULTS = 100
const MARK = '${'
/** Keywords that judge a value as a whole: unknown as soon as a part of it is. */
const JUDGE_THE_WHOLE = new Set(['anyOf', 'oneOf', 'not', 'contains', 'uniqueItems', 'const', 'enum'])
/** Keywords that count or name members: unknown as soon as a name is an expression. */
const COUNT_MEMBERS = new Set(['required', 'dependentRequired', 'minProperties', 'maxProperties'])

const ajv = new Ajv2020({
  allErrors: true,
  useDefaults: true,
  strict: true,
  allowUnionTypes: true,
  strictRequired: false,
})
ajvFormats.default(ajv)
for (const [name, { test }] of Object.entries(FORMATS)) ajv.addFormat(name, { type: 'string', validate: test })

const compiled = new WeakMap<StepType, ValidateFunction>()

/** The faults of a node's parameters against its type's schema, in plain words; empty when there are none. */
export function checkParams(
  type: StepType,
  params: JsonObject,
  { expressions, mark = MARK }: CheckOptions,
): ParamFault[] {
  let validate = compiled.get(type)
  if (!validate) {
    validate = ajv.compile(type.params)
    compiled.set(type, validate)
  }
  const skip = expressions === 'skip'
  if (validate(skip ? structuredClone(params) : params)) return []
  const unknowns = skip ? findUnknowns(params, mark, type.codeParams ?? []) : NOTHING_UNKNOWN
  return faultsOf(validate.errors ?? [], unknowns)
}

interface Unknowns {
  mark: string
  /** Pointers of the texts that hold an expression. */
  values: ReadonlySet<string>
  /** Pointers of the values that hold such a text at any depth. */
  around: ReadonlySet<string>
  /** Pointers of the objects that have an expression among their member names. */
  names: ReadonlySet<string>
}

const NOTHING_UNKNOWN: Unknowns = { mark: MARK, values: new Set(), around: new Set(), names: new Set() }

function findUnknowns(params: JsonObject, mark: string, codeParams: readonly string[]): Unknowns {
  const values = new Set<string>()
  const around = new Set<string>()
  const names = new Set<string>()
  const pending: { pointer: string; value: Json }[] = [{ pointer: '', value: params }]
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { pointer, value } = next
    if (typeof value === 'string' && value.includes(mark)) {
      values.add(pointer)
      for (const ancestor of ancestors(pointer)) around.add(ancestor)
    }
    if (typeof value !== 'object' || value === null) continue
    for (const [name, member] of Object.entries(value)) {
      if (pointer === '' && codeParams.includes(name)) continue
      if (name.includes(mark) && isJsonObject(value)) names.add(pointer)
      pending.push({ pointer: pointerTo(pointer, name), value: member })
    }
  }
  return { mark, values, around, names }
}

/** The pointer itself and those above it, down to the root's. */
function* ancestors(pointer: string): Generator<string> {
  for (let end = pointer.length; end >= 0; end = end === 0 ? -1 : pointer.lastIndexOf('/', end - 1)) {
    yield pointer.slice(0, end)
  }
}

/** The same for values that another schema has judged. */
export function faultsOfErrors(errors: readonly ErrorObject[]): ParamFault[] {
  return faultsOf(errors, NOTHING_UNKNOWN)
}

function faultsOf(errors: readonly ErrorObject[], unknowns: Unknowns): ParamFault[] {
  const alternatives = errors.filter(({ keyword }) => keyword === 'anyOf' || keyword === 'oneOf')
  const faults = new Map<string, ParamFault>()
  for (const error of errors) {
    // What an `if` led to is reported by itself; what a branch of an anyOf lacks is told by the anyOf.
    if (error.keyword === 'if' || isUnknown(error, unknowns)) continue
    if (alternatives.some((alternative) => isWithin(error, alternative))) continue
    const branches = errors.filter((other) => other !== error && isWithin(other, error))
    const fault = describeFault(error, branches)
    faults.set(`${fault.path} ${fault.detail}`, fault)
    if (faults.size === MAX_FAULTS) break
  }
  return [...faults.values()]
}

function isWithin(error: ErrorObject, alternative: ErrorObject): boolean {
  return (
    error.schemaPath.startsWith(`${alternative.schemaPath}/`) &&
    isAtOrBelow(error.instancePath, alternative.instancePath)
  )
}

function isUnknown({ instancePath, keyword, params }: ErrorObject, { mark, values, around, names }: Unknowns): boolean {
  for (const pointer of ancestors(instancePath)) if (values.has(pointer)) return true
  if (JUDGE_THE_WHOLE.has(keyword) && around.has(instancePath)) return true
  if (keyword === 'additionalProperties') return String(params.additionalProperty).includes(mark)
  return names.has(instancePath) && (COUNT_MEMBERS.has(keyword) || JUDGE_THE_WHOLE.has(keyword))
}

function isAtOrBelow(pointer: string, ancestor: string): boolean {
  return pointer === ancestor || pointer.startsWith(`${ancestor}/`)
}
