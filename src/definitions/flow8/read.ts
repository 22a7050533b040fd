import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js'
import { isJsonObject, type Json } from '../../platform/json.js'
import { describeFault } from '../../steps/param-faults.js'
import { type LayerFaults, quote } from './faults.js'
import { type FlowDefinition, flowDefinitionSchema, LAYER_LIMITS, RESERVED_REFS } from './layers.js'

const PREFIX = '/params'
const MOST_ERRORS = 1_000
/** What neither JSON columns nor texts of PostgreSQL hold. */
const UNSTORABLE = /[\0\p{Cs}]/u

const validate = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true }).compile<FlowDefinition>(
  flowDefinitionSchema,
)

/**
 * A definition's text, with the faults that it has by itself: its form, and names that are taken. What its layers say of each other and
 * of their modules is checked by whoever compiles it. Undefined where there is nothing to go on with.
 */
export function readDefinition(text: string, faults: LayerFaults): FlowDefinition | undefined {
  const value = parsed(text, faults)
  if (value === undefined || !isBounded(value, faults)) return undefined
  if (!validate(value)) {
    tellFaults(validate.errors ?? [], faults)
    return undefined
  }
  checkNames(value, faults)
  return value
}

function parsed(text: string, faults: LayerFaults): Json | undefined {
  if (Buffer.byteLength(text) > LAYER_LIMITS.bytes) {
    faults.add('', 'too_large', `a flow may have at most ${LAYER_LIMITS.bytes} bytes`)
    return undefined
  }
  try {
    return JSON.parse(text) as Json
  } catch {
    faults.add('', 'invalid_json', 'the definition of the flow is not JSON')
    return undefined
  }
}

/** Hostile definitions are told apart before their faults are counted one by one. */
function isBounded(value: Json, faults: LayerFaults): boolean {
  const layers = isJsonObject(value) ? value.layers : undefined
  if (Array.isArray(layers) && layers.length > LAYER_LIMITS.layers) {
    faults.add('/layers', 'max_items', `a flow may have at most ${LAYER_LIMITS.layers} layers`)
    return false
  }
  const pending: { value: Json; path: readonly string[] }[] = [{ value, path: [] }]
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { value: inner, path } = next
    if (typeof inner === 'string' && UNSTORABLE.test(inner)) {
      faults.add(path, 'unstorable_text', 'a text holds U+0000 or half of a surrogate pair')
      return false
    }
    if (typeof inner !== 'object' || inner === null) continue
    if (path.length > LAYER_LIMITS.depth) {
      faults.add(path, 'too_deep', `a flow may be nested at most ${LAYER_LIMITS.depth} levels deep`)
      return false
    }
    for (const [name, member] of Object.entries(inner)) {
      if (UNSTORABLE.test(name)) {
        faults.add(path, 'unstorable_text', 'a name holds U+0000 or half of a surrogate pair')
        return false
      }
      pending.push({ value: member, path: [...path, name] })
    }
  }
  return true
}

function tellFaults(all: readonly ErrorObject[], faults: LayerFaults): void {
  const errors = all.slice(0, MOST_ERRORS)
  for (const error of errors) {
    // What a branch of an `anyOf` lacks is told by the `anyOf`.
    if (/\/anyOf\/\d+\//.test(error.schemaPath)) continue
    const isBranch = (other: ErrorObject) =>
      error.keyword === 'anyOf' &&
      other.instancePath === error.instancePath &&
      other.schemaPath.startsWith(`${error.schemaPath}/`)
    const { path, detail, code } = describeFault(error, errors.filter(isBranch))
    const pointer = path.slice(PREFIX.length)
    faults.add(pointer, code, pointer === '' ? detail.replace(/^params/, 'the flow') : detail)
  }
}

function checkNames({ layers }: FlowDefinition, faults: LayerFaults): void {
  const refs = new Set<string>()
  const ids = new Set<string>()
  for (const [at, { id, ref }] of layers.entries()) {
    if (RESERVED_REFS.includes(ref))
      faults.add(
        ['layers', at, 'ref'],
        'reserved_ref',
        `${quote(ref)} is not free: $prev.${ref} is what the play was given`,
      )
    else if (refs.has(ref))
      faults.add(['layers', at, 'ref'], 'duplicate_ref', `another layer has the ref ${quote(ref)}`)
    if (ids.has(id)) faults.add(['layers', at, 'id'], 'duplicate_id', `another layer has the id ${quote(id)}`)
    refs.add(ref)
    ids.add(id)
  }
}
