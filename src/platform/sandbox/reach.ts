import type { Json, JsonObject } from '../json.js'
import type { Evaluation } from './evaluation.js'
import type { GuestScope } from './protocol.js'

const WORD = /[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*/gu
/** Words through which code may come at variables that it does not name. */
const REACHES_ALL = new Set([
  'eval',
  'Function',
  'constructor',
  'globalThis',
  'this',
  'with',
  'Reflect',
  'getPrototypeOf',
  '__proto__',
])
/** `x[…]` with anything but one plain string or number inside. Array literals look the same; that costs only time. */
const COMPUTED = /\[(?!\s*(?:'[^'\\]*'|"[^"\\]*"|\d*)\s*\])/
/** `.name`, `?.name`, `["name"]` and `['name']` at the start of what follows a variable. */
const MEMBER = /^\s*(?:\??\.\s*([\p{ID_Start}$_][\p{ID_Continue}$]*)|(?:\?\.)?\[\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\])/u

const REMEMBERED = 2_000
const REMEMBERED_LENGTH = 10_000

/** What a piece of code can name. Strings and comments are read as code, so the answer is too large rather than too small. */
interface Reach {
  /** The code may come at any variable by ways that a look at its words does not show. */
  all: boolean
  /** The code may come at members that it does not name. */
  computed: boolean
  text: string
  /** Every word, with the members that are taken from it; `whole` when it is used in any other way. */
  words: Map<string, { members: Set<string>; whole: boolean }>
}

const known = new Map<string, Reach>()

/**
 * The variables that an evaluation's code can reach, for the sandbox: an unused result of an earlier step costs nothing, and a secret
 * that the code does not name never gets near it.
 */
export function reachableScope({ scripts, scope, capture = [] }: Evaluation): GuestScope {
  const reach = scripts.map((script) => reachOf(script.code))
  const shared = isPlain(scope.shared) ? scope.shared : {}
  const captured = new Set(capture)
  if (reach.some((one) => one.all)) return { variables: scope, offered: shared }
  const variables: [string, unknown][] = []
  for (const [name, value] of Object.entries(scope)) {
    if (captured.has(name)) variables.push([name, value])
    else if (reach.some((one) => one.words.has(name))) variables.push([name, narrowed(name, value, reach)])
  }
  const viaInput = isPlain(scope.input) && (captured.has('input') || reach.some((one) => one.words.has('input')))
  if (viaInput && reach.some((one) => one.computed))
    return { variables: Object.fromEntries(variables), offered: shared }
  const offered = Object.entries(shared).filter(
    ([name]) => captured.has(name) || reach.some((one) => one.words.has(name) || (viaInput && one.text.includes(name))),
  )
  return { variables: Object.fromEntries(variables), offered: Object.fromEntries(offered) }
}

/** A variable with only those members that the code takes from it, where it does nothing else with it. */
function narrowed(name: string, value: Json | undefined, reach: readonly Reach[]): unknown {
  if (!isPlain(value)) return value
  const members = new Set<string>()
  for (const one of reach) {
    const use = one.words.get(name)
    if (!use) continue
    if (use.whole) return value
    for (const member of use.members) members.add(member)
  }
  return Object.fromEntries(
    [...members].filter((member) => Object.hasOwn(value, member)).map((member) => [member, value[member]]),
  )
}

function reachOf(code: string): Reach {
  const remembered = known.get(code)
  if (remembered) return remembered
  const reach: Reach = {
    all: code.includes('\\u'),
    computed: COMPUTED.test(code),
    text: code,
    words: new Map(),
  }
  for (const match of code.matchAll(WORD)) {
    const word = match[0]
    if (REACHES_ALL.has(word)) reach.all = true
    const use = reach.words.get(word) ?? { members: new Set(), whole: false }
    reach.words.set(word, use)
    const end = match.index + word.length
    const taken = MEMBER.exec(code.slice(end, end + 300))
    const member = taken?.[1] ?? taken?.[2] ?? taken?.[3]
    // A method of every object, such as `hasOwnProperty`, looks at all members.
    if (member === undefined || member in Object.prototype) use.whole = true
    else use.members.add(member)
  }
  if (code.length > REMEMBERED_LENGTH) return reach
  if (known.size >= REMEMBERED) known.delete(known.keys().next().value as string)
  known.set(code, reach)
  return reach
}

function isPlain(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
