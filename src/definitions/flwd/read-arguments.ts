import type { JsonObject } from '../../platform/json.js'
import { isJsonObject, type Json } from '../../platform/json.js'
import { membersOf } from '../../platform/json-pointer.js'
import type { Cursor } from '../yaml/cursor.js'
import { quote } from '../yaml/faults.js'
import { toJson } from '../yaml/located.js'
import type { Reader } from '../yaml/reader.js'
import { faultsOfDefaults, faultsOfSchema } from './arguments.js'

const NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/
const MOST_ARGUMENTS = 100
const ITEM_TYPES = ['string', 'integer', 'number', 'boolean', 'object'] as const
const TYPES: Readonly<Record<string, string>> = {
  string: 'string',
  int: 'integer',
  integer: 'integer',
  number: 'number',
  float: 'number',
  bool: 'boolean',
  boolean: 'boolean',
  array: 'array',
  object: 'object',
}
const FORMATS = ['path', 'file', 'directory', 'secret']

export interface JobArguments {
  args: JsonObject
  secretArgs: string[]
}

/**
 * A job's arguments as JSON Schema 2020-12, whichever of the three forms they were written in: a schema under `argspec`, a list under
 * `argspec.args`, or a mapping under `arguments`.
 */
export function readArguments(root: Cursor, reader: Reader): JobArguments {
  const argspec = root.member('argspec')
  const mapped = root.member('arguments')
  if (argspec.value && mapped.value)
    reader.complain(mapped, 'conflict', 'arguments are described twice: take either argspec or arguments', 'key')
  if (argspec.value && !reader.mapping(argspec, 'argspec')) return NONE
  if (mapped.value && !reader.mapping(mapped, 'arguments')) return NONE
  const args = argspec.member('args').value
    ? listed(argspec, reader)
    : argspec.value
      ? schemaOf(argspec, reader)
      : fromEntries(
          mapped.members.map(([name, cursor]) => ({ name, cursor })),
          reader,
        )
  return args ? { args, secretArgs: secretsOf(args) } : NONE
}

const NONE: JobArguments = { args: { type: 'object', properties: {} }, secretArgs: [] }

/** As its author wrote it: what is not a schema is told where it stands. */
function schemaOf(cursor: Cursor, reader: Reader): JsonObject | undefined {
  if (!cursor.value) return undefined
  const written = toJson(cursor.value) as JsonObject
  const properties = cursor.member('properties')
  if (properties.value && !reader.mapping(properties, 'properties')) return undefined
  const { $schema: _, ...rest } = written
  const schema: JsonObject = { ...rest, type: rest.type ?? 'object', properties: rest.properties ?? {} }
  if (schema.type !== 'object')
    return reader.complain(cursor.member('type'), 'type', 'the schema of the arguments must be of type object')
  const faults = faultsOfSchema(schema)
  for (const { pointer, code, detail } of faults)
    reader.complain(cursor.follow(membersOf(pointer)), code, `argspec is no JSON Schema: ${detail}`)
  if (faults.length > 0) return undefined
  if (!checkNames(properties.members, reader) || !checkValues(schema, properties, reader)) return undefined
  return checkSecrets(schema, cursor, reader) ? schema : undefined
}

const LISTED = [
  'name',
  'type',
  'format',
  'required',
  'default',
  'description',
  'enum',
  'items_type',
  'items_enum',
  'value_type',
]

function listed(argspec: Cursor, reader: Reader): JsonObject | undefined {
  reader.mapping(argspec, 'argspec', ['args'])
  const entries = reader.list(argspec.member('args'), 'argspec.args', MOST_ARGUMENTS).flatMap((cursor) => {
    if (!reader.mapping(cursor, 'an argument', LISTED)) {
      if (!cursor.value) reader.complain(cursor, 'type', 'an argument must be a mapping')
      return []
    }
    const name = reader.text(cursor.member('name'), 'the name of an argument')
    if (name === undefined && !cursor.member('name').value)
      reader.complain(cursor.member('name'), 'required', 'an argument has no name')
    return name === undefined ? [] : [{ name, cursor }]
  })
  return fromEntries(entries, reader)
}

interface Entry {
  name: string
  cursor: Cursor
}

const MAPPED = ['type', 'format', 'default', 'required', 'description', 'choices', 'enum']

function fromEntries(entries: readonly Entry[], reader: Reader): JsonObject | undefined {
  const properties: JsonObject = Object.create(null)
  const required: string[] = []
  let isWhole = checkNames(
    entries.map(({ name, cursor }) => [name, cursor.member('name').value ? cursor.member('name') : cursor]),
    reader,
  )
  for (const { name, cursor } of entries) {
    if (!cursor.member('name').value) reader.mapping(cursor, `argument ${quote(name)}`, MAPPED)
    const schema = argumentOf(name, cursor, reader)
    if (!schema || Object.hasOwn(properties, name)) isWhole = false
    else properties[name] = schema
    if (reader.flag(cursor.member('required'), `required of ${quote(name)}`)) required.push(name)
  }
  const schema: JsonObject = { type: 'object', properties: { ...properties }, ...(required.length > 0 && { required }) }
  if (!isWhole) return undefined
  const faults = faultsOfSchema(schema)
  for (const { pointer, code, detail } of faults) {
    const place = entries.find(({ name }) => name === membersOf(pointer)[1])
    if (place) reader.complain(place.cursor, code, `argument ${quote(place.name)} is not possible: ${detail}`)
  }
  if (faults.length > 0) return undefined
  for (const { name, cursor } of entries) checkDefault(name, properties[name], cursor, reader)
  return schema
}

function argumentOf(name: string, cursor: Cursor, reader: Reader): JsonObject | undefined {
  const what = (member: string) => `${member} of ${quote(name)}`
  const typed = cursor.member('type')
  const type = typed.value ? TYPES[typed.string ?? ''] : 'string'
  if (type === undefined)
    return reader.complain(typed, 'enum', `${what('type')} must be one of ${Object.keys(TYPES).join(', ')}`)
  const description = reader.text(cursor.member('description'), what('description'))
  const format = reader.oneOf(cursor.member('format'), what('format'), FORMATS)
  const word = cursor.member('choices').value ? 'choices' : 'enum'
  const choices = reader.list(cursor.member(word), what(word), 1_000)
  const items = itemsOf(cursor, name, reader)
  const fallback = cursor.member('default')
  return {
    type,
    ...(description !== undefined && { description }),
    ...(format !== undefined && { format }),
    ...(choices.length > 0 && { enum: choices.map(({ value }) => (value ? toJson(value) : null)) }),
    ...(type === 'array' && items && { items }),
    ...(type === 'object' &&
      cursor.member('value_type').value && { additionalProperties: memberOf(cursor, name, reader) }),
    ...(fallback.value && { default: toJson(fallback.value) }),
  }
}

function itemsOf(cursor: Cursor, name: string, reader: Reader): JsonObject | undefined {
  const type = reader.oneOf(cursor.member('items_type'), `items_type of ${quote(name)}`, ITEM_TYPES)
  const choices = reader.list(cursor.member('items_enum'), `items_enum of ${quote(name)}`, 1_000)
  if (!type && choices.length === 0) return undefined
  return {
    ...(type && { type }),
    ...(choices.length > 0 && { enum: choices.map(({ value }) => (value ? toJson(value) : null)) }),
  }
}

function memberOf(cursor: Cursor, name: string, reader: Reader): JsonObject {
  const type = reader.oneOf(cursor.member('value_type'), `value_type of ${quote(name)}`, ITEM_TYPES)
  return type ? { type } : {}
}

/** Names become those of variables, so no two may become the same. */
function checkNames(named: readonly (readonly [string, Cursor])[], reader: Reader): boolean {
  const variables = new Map<string, string>()
  let isGood = true
  const complain = (cursor: Cursor, code: string, detail: string) => {
    isGood = false
    reader.complain(cursor, code, detail, 'key')
  }
  for (const [name, cursor] of named) {
    const variable = name.toUpperCase().replaceAll('-', '_')
    const other = variables.get(variable)
    if (!NAME.test(name))
      complain(
        cursor,
        'pattern',
        `an argument's name is of letters, digits, _ and -, and begins with no digit: ${quote(name)} is not`,
      )
    else if (other !== undefined)
      complain(cursor, 'conflict', `the arguments ${quote(other)} and ${quote(name)} are one variable ARG_${variable}`)
    variables.set(variable, name)
  }
  if (named.length > MOST_ARGUMENTS) {
    isGood = false
    const [, last] = named.at(-1) ?? []
    if (last) reader.complain(last, 'too_many', `a job may have at most ${MOST_ARGUMENTS} arguments`, 'key')
  }
  return isGood
}

function checkValues(schema: JsonObject, properties: Cursor, reader: Reader): boolean {
  for (const [name, cursor] of properties.members) {
    const own = (schema.properties as JsonObject)[name]
    checkDefault(name, own, cursor, reader)
    // Of what is no text, `format` says nothing: without a type, an object would pass as a secret.
    if (isJsonObject(own) && own.format === 'secret') own.type ??= 'string'
  }
  return true
}

/** What is secret is known by the names of the arguments, so nothing but an argument itself may be it, in whatever way a schema is put together. */
function checkSecrets(schema: JsonObject, argspec: Cursor, reader: Reader): boolean {
  const wrong = strayOf(schema, secretsOf(schema))
  if (!wrong) return true
  const [first, name] = wrong
  const isArgument = first === 'properties' && name !== undefined
  const place = argspec.follow(isArgument ? wrong.slice(0, 2) : wrong)
  const where = isArgument ? `not a part of ${quote(name)}` : `under properties, not in ${quote(wrong.join('/'))}`
  return reader.complain(place, 'secret', `only an argument itself can be a secret, ${where}`) ?? false
}

function checkDefault(name: string, schema: Json | undefined, argument: Cursor, reader: Reader): void {
  if (!isJsonObject(schema)) return
  const cursor = argument.member('default')
  if (schema.format === 'secret' && schema.type !== undefined && schema.type !== 'string')
    reader.complain(argument.member('type'), 'secret', `the secret ${quote(name)} must be a text`, 'key')
  if (!Object.hasOwn(schema, 'default')) return
  if (schema.format === 'secret') {
    reader.complain(cursor, 'secret', `the secret ${quote(name)} may have no default`, 'key')
    return
  }
  for (const detail of faultsOfDefaults(name, schema)) reader.complain(cursor, 'default', `the default of ${detail}`)
}

function secretsOf({ properties }: JsonObject): string[] {
  const entries = Object.entries(isJsonObject(properties) ? properties : {})
  return entries.filter(([, schema]) => isJsonObject(schema) && schema.format === 'secret').map(([name]) => name)
}

/** Keywords that hold schemas by names, and those that hold values, which are no schemas. */
const NAMED = new Set(['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas'])
const VALUES = new Set(['const', 'default', 'enum', 'examples'])

/** Where a schema makes a secret of something that is no argument, or leads to one that is. */
function strayOf(schema: Json | undefined, secrets: readonly string[], path: string[] = []): string[] | undefined {
  if (typeof schema !== 'object' || schema === null) return undefined
  const isArgument = path.length === 2 && path[0] === 'properties'
  if (isJsonObject(schema)) {
    if (schema.format === 'secret' && !isArgument) return path
    const leads = [schema.$ref, schema.$dynamicRef].some((to) => typeof to === 'string' && leadsTo(secrets, to))
    if (leads) return path
  }
  for (const [key, value] of Object.entries(schema)) {
    if (VALUES.has(key)) continue
    const below = NAMED.has(key) && isJsonObject(value) ? Object.entries(value) : undefined
    const found = below
      ? firstOf(below, ([name, one]) => strayOf(one as Json, secrets, [...path, key, name]))
      : strayOf(value as Json, secrets, [...path, key])
    if (found) return found
  }
  return undefined
}

/** Where there are secrets, only pointers are followed: what an anchor or another document's name means is not known here. */
function leadsTo(secrets: readonly string[], reference: string): boolean {
  if (secrets.length === 0) return false
  if (!reference.startsWith('#/')) return true
  const [keyword, name] = membersOf(unescaped(reference))
  return keyword === 'properties' && (name === undefined || secrets.includes(name))
}

function firstOf<Of, Found>(many: readonly Of[], find: (one: Of) => Found | undefined): Found | undefined {
  for (const one of many) {
    const found = find(one)
    if (found !== undefined) return found
  }
  return undefined
}

/** As in a URL; what is not escaped well stays as it is, and leads nowhere. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
