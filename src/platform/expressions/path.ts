import { isJsonObject, type Json, type JsonObject } from '../json.js'
import { ScriptError } from '../sandbox/evaluation.js'

type Scope = Readonly<Record<string, Json>>

interface Path {
  root: string
  steps: { key: string | number; named: boolean; optional: boolean }[]
}

type Simple = { literal: Json } | Path

const NAME = /[A-Za-z_$][\w$]*/y
const STEP = /\s*(?:(\?\.|\.)\s*([A-Za-z_$][\w$]*)|(\?\.)?\[\s*(?:(0|[1-9]\d{0,8})|"([^"\\\n]*)"|'([^'\\\n]*)')\s*\])/y
const NUMBER = /^(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?$/
const STRING = /^(?:"([^"\\\n]*)"|'([^'\\\n]*)')$/
const WORDS = new Map<string, Json>([
  ['null', null],
  ['undefined', null],
  ['true', true],
  ['false', false],
])
const RESERVED = new Set(
  (
    'arguments async await break case catch class const continue debugger default delete do else enum eval export extends false ' +
    'finally for function if implements import in instanceof interface let new null package private protected public return static ' +
    'super switch this throw true try typeof undefined var void while with yield'
  ).split(' '),
)

const REMEMBERED = 5_000
const known = new Map<string, Simple | undefined>()

/**
 * Answers an expression that is only a literal or a property path (`input.items[0].name`), as the sandbox would: own members, `length`
 * of arrays and texts, undefined as null, the same errors. Undefined means that the sandbox has to be asked. Objects are handed out as
 * they are, not copied.
 */
export function evaluatePath(code: string, scope: Scope): { value: Json } | undefined {
  const simple = simpleOf(code)
  if (!simple) return undefined
  if ('literal' in simple) return { value: simple.literal }
  const value = walk(simple, scope)
  if (value === SANDBOX) return undefined
  return { value: asJson(value) }
}

/** True for a property path that begins with this variable: no more is needed than a look at it. */
export function isPathFrom(variable: string, code: string): boolean {
  const simple = simpleOf(code)
  return simple !== undefined && 'root' in simple && simple.root === variable
}

/** What JSON makes of a value: no undefined, no NaN, no negative zero. */
function asJson(value: Json | undefined): Json {
  if (value === undefined || (typeof value === 'number' && !Number.isFinite(value))) return null
  return value === 0 ? 0 : value
}

const SANDBOX = Symbol('only the sandbox can tell')

function walk({ root, steps }: Path, scope: Scope): Json | undefined | typeof SANDBOX {
  const shared = isJsonObject(scope.shared) ? scope.shared : {}
  const isVariable = Object.hasOwn(scope, root)
  if (!isVariable && (!Object.hasOwn(shared, root) || isBuiltIn(root))) return SANDBOX
  let value: Json | undefined = isVariable ? scope[root] : shared[root]
  for (const [index, { key, named, optional }] of steps.entries()) {
    if (value === undefined || value === null) {
      if (optional) return undefined
      // QuickJS words this error in its own way behind a bracket.
      if (!named) return SANDBOX
      throw new ScriptError(`TypeError: cannot read property '${key}' of ${value === null ? 'null' : 'undefined'}`)
    }
    const variable = index === 0 && isVariable ? root : undefined
    const next: Json | undefined | typeof SANDBOX = read(value, key, variable, shared)
    if (next === SANDBOX) return SANDBOX
    value = next
  }
  return value
}

function read(
  value: NonNullable<Json>,
  key: string | number,
  variable: string | undefined,
  shared: JsonObject,
): Json | undefined | typeof SANDBOX {
  if (typeof value !== 'object') return typeof value === 'string' && key === 'length' ? value.length : SANDBOX
  if (Array.isArray(value)) {
    if (typeof key === 'number' || key === 'length') return value[key as number]
    return SANDBOX
  }
  if (Object.hasOwn(value, key)) return value[key]
  if (key in Object.prototype) return SANDBOX
  if (variable === 'secrets') {
    if (key === 'then' || key === 'toJSON') return SANDBOX
    throw new ScriptError(`secret '${key}' is not set`)
  }
  if (variable === 'input' && Object.hasOwn(shared, key)) return shared[key]
  return undefined
}

/** Node has more globals than QuickJS, which only sends a few paths to the sandbox that need not go there. */
function isBuiltIn(name: string): boolean {
  return name in globalThis || name === 'InternalError'
}

function simpleOf(code: string): Simple | undefined {
  if (code.length > 500) return undefined
  if (known.has(code)) return known.get(code)
  const simple = parse(code.trim())
  if (known.size >= REMEMBERED) known.delete(known.keys().next().value as string)
  known.set(code, simple)
  return simple
}

function parse(code: string): Simple | undefined {
  if (code.includes('\n')) return undefined
  const word = WORDS.get(code)
  if (word !== undefined) return { literal: word }
  if (NUMBER.test(code)) return { literal: Number(code) }
  const text = STRING.exec(code)
  if (text) return { literal: text[1] ?? text[2] ?? '' }
  return parsePath(code)
}

function parsePath(code: string): Path | undefined {
  NAME.lastIndex = 0
  const root = NAME.exec(code)?.[0]
  if (root === undefined || RESERVED.has(root)) return undefined
  const steps: Path['steps'] = []
  let at = root.length
  while (at < code.length) {
    STEP.lastIndex = at
    const step = STEP.exec(code)
    if (!step) return undefined
    const [, dot, name, optionalIndex, index, double, single] = step
    const optional = dot === '?.' || optionalIndex === '?.'
    steps.push({
      key: name ?? (index === undefined ? (double ?? single ?? '') : Number(index)),
      named: name !== undefined,
      optional,
    })
    at = STEP.lastIndex
  }
  return { root, steps }
}
