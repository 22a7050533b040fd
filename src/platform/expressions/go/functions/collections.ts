import { isJsonObject, type Json } from '../../../json.js'
import { isSame } from '../budget.js'
import { type Call, Fault, type GoFunction } from '../call.js'
import { kindOf } from '../values.js'

const DEEPEST_JSON = 500

/** Lists and objects. Nothing is changed in place: what looks like a change is a new value. */
export const collections: Readonly<Record<string, GoFunction>> = {
  len: { least: 1, most: 1, run: length },
  index: {
    least: 1,
    run: (call) => call.args.slice(1).reduce<Json>((value, key) => at(call, value, key), call.value(0)),
  },
  slice: { least: 1, most: 3, run: slice },
  contains: { least: 2, most: 2, run: contains },
  has: { least: 2, most: 2, run: (call) => isIn(call, call.value(0), call.list(1)) },

  list: { least: 0, run: (call) => call.budget.made([...call.args]) },
  first: { least: 1, most: 1, run: (call) => call.list(0)[0] ?? null },
  last: { least: 1, most: 1, run: (call) => call.list(0).at(-1) ?? null },
  rest: { least: 1, most: 1, run: (call) => call.budget.made(call.list(0).slice(1)) },
  initial: { least: 1, most: 1, run: (call) => call.budget.made(call.list(0).slice(0, -1)) },
  append: { least: 2, run: (call) => call.budget.made([...call.list(0), ...call.args.slice(1)]) },
  prepend: { least: 2, run: (call) => call.budget.made([...call.args.slice(1), ...call.list(0)]) },
  concat: { least: 0, run: (call) => call.budget.made(call.args.flatMap((_, index) => call.list(index))) },
  reverse: { least: 1, most: 1, run: (call) => call.budget.made(call.list(0).toReversed()) },
  uniq: { least: 1, most: 1, run: uniq },
  compact: {
    least: 1,
    most: 1,
    run: (call) => call.budget.made(call.list(0).filter((item) => item !== null && item !== '')),
  },
  sortAlpha: { least: 1, most: 1, run: (call) => call.budget.made(wordsOf(call, 0).sort()) },
  join: { least: 2, most: 2, run: join },
  until: { least: 1, most: 1, run: (call) => counted(call, 0, call.whole(0) - 1) },
  seq: {
    least: 1,
    most: 2,
    run: (call) => (call.has(1) ? counted(call, call.whole(0), call.whole(1)) : counted(call, 1, call.whole(0))),
  },
  /** Of each object in a list the member of that name. */
  pluck: { least: 2, most: 2, run: (call) => call.budget.made(call.list(1).map((item) => member(item, call.text(0)))) },

  /** What can be gone through: a list, or the list under `items`, `rows`, `results` or `body` of an object; else a list of the value alone. */
  toList: { least: 1, most: 1, run: (call) => call.budget.made(listIn(call.value(0))) },
  /** An object of lists to a list of objects: `rows (dict "a" (list 1 2))`. */
  rows: { least: 1, most: 1, run: rows },

  dict: { least: 0, run: dict },
  keys: {
    least: 1,
    run: (call) => call.budget.made(call.args.flatMap((_, index) => Object.keys(call.object(index)).sort())),
  },
  values: {
    least: 1,
    most: 1,
    run: (call) =>
      call.budget.made(
        Object.keys(call.object(0))
          .sort()
          .map((name) => member(call.value(0), name)),
      ),
  },
  hasKey: { least: 2, most: 2, run: (call) => Object.hasOwn(call.object(0), call.text(1)) },
  get: { least: 2, most: 2, run: (call) => member(call.object(0), call.text(1)) },
  set: {
    least: 3,
    most: 3,
    run: (call) => object(call, [...Object.entries(call.object(0)), [call.text(1), call.value(2)]]),
  },
  unset: {
    least: 2,
    most: 2,
    run: (call) =>
      object(
        call,
        Object.entries(call.object(0)).filter(([name]) => name !== call.text(1)),
      ),
  },
  pick: { least: 2, run: (call) => choose(call, true) },
  omit: { least: 2, run: (call) => choose(call, false) },
  /** What an earlier object says wins. */
  merge: {
    least: 1,
    run: (call) =>
      object(
        call,
        call.args
          .map((_, index) => Object.entries(call.object(index)))
          .reverse()
          .flat(),
      ),
  },

  toJson: { least: 1, most: 1, run: (call) => call.budget.json(call.value(0)) },
  toPrettyJson: { least: 1, most: 1, run: (call) => call.budget.json(call.value(0), 2) },
  fromJson: { least: 1, most: 1, run: fromJson },
}

/** Characters of a text, items of a list, members of an object. */
function length(call: Call): number {
  const value = call.value(0)
  if (value === null) return 0
  if (typeof value === 'string') {
    call.budget.read(value.length)
    let count = 0
    for (const _ of value) count++
    return count
  }
  if (Array.isArray(value)) return value.length
  if (isJsonObject(value)) return Object.keys(value).length
  throw call.wrong('a text, a list or an object', value)
}

function at(call: Call, value: Json, key: Json): Json {
  if (value === null) return null
  if (isJsonObject(value)) {
    if (typeof key !== 'string') throw new Fault(`index of an object takes a text, not ${kindOf(key)}`)
    return member(value, key)
  }
  if (typeof key !== 'number' || !Number.isSafeInteger(key))
    throw new Fault(`index of ${kindOf(value)} takes a whole number, not ${kindOf(key)}`)
  if (Array.isArray(value)) {
    if (key >= 0 && key < value.length) return value[key] ?? null
    throw new Fault(`index ${key} is outside a list of ${value.length}`)
  }
  throw call.wrong('a list or an object', value)
}

function member(value: Json, name: string): Json {
  return isJsonObject(value) && Object.hasOwn(value, name) ? (value[name] ?? null) : null
}

/** `slice x 1 3` is x from 1 to before 3. */
function slice(call: Call): Json {
  const value = call.value(0)
  const from = call.has(1) ? call.whole(1) : 0
  const size = typeof value === 'string' ? call.text(0).length : call.list(0).length
  const to = call.has(2) ? call.whole(2) : size
  if (from < 0 || to < from || to > size) throw new Fault(`slice from ${from} to ${to} is outside a length of ${size}`)
  if (typeof value === 'string') return call.made(value.slice(from, to).toWellFormed())
  return call.budget.made(call.list(0).slice(from, to))
}

/** Whether a text holds another, or a list a value: `contains "a" .text`, `contains 3 .list`. */
function contains(call: Call): boolean {
  const whole = call.value(1)
  if (Array.isArray(whole)) return isIn(call, call.value(0), call.list(1))
  if (isJsonObject(whole)) return Object.hasOwn(whole, call.text(0))
  if (whole === null) return false
  return call.text(1).includes(call.text(0))
}

function isIn(call: Call, value: Json, list: readonly Json[]): boolean {
  return list.some((item) => isSame(item, value, call.budget))
}

function uniq(call: Call): Json {
  const kept: Json[] = []
  const seen = new Set<Json>()
  for (const item of call.list(0)) {
    const isPlain = typeof item !== 'object' || item === null
    if (isPlain ? seen.has(item) : isIn(call, item, kept)) continue
    if (isPlain) seen.add(item)
    kept.push(item)
  }
  return call.budget.made(kept)
}

function wordsOf(call: Call, index: number): string[] {
  return call.list(index).map((item) => {
    if (item === null) return ''
    if (typeof item === 'object') return call.budget.json(item)
    call.budget.write(String(item).length)
    return String(item)
  })
}

/** `join ", " .list` */
function join(call: Call): string {
  const [separator, words] = [call.text(0), wordsOf(call, 1)]
  call.budget.write(words.reduce((sum, word) => sum + word.length + separator.length, 0))
  return words.join(separator)
}

function counted(call: Call, from: number, to: number): Json {
  const count = Math.max(0, to - from + 1)
  call.budget.step(count)
  return call.budget.made(Array.from({ length: count }, (_, index) => from + index))
}

const LISTS = ['items', 'rows', 'results', 'body']

function listIn(value: Json): Json[] {
  if (value === null) return []
  if (Array.isArray(value)) return value
  const found = LISTS.map((name) => member(value, name)).find(Array.isArray)
  const inner = member(member(value, 'body'), 'items')
  return found ?? (Array.isArray(inner) ? inner : [value])
}

function rows(call: Call): Json {
  const columns = Object.entries(call.object(0)).map(([name, list]): [string, Json[]] => [name, listIn(list)])
  const count = columns.reduce((most, [, list]) => Math.max(most, list.length), 0)
  call.budget.step(count * columns.length)
  const made = Array.from({ length: count }, (_, at) =>
    Object.fromEntries(columns.map(([name, list]) => [name, list[at] ?? null])),
  )
  return call.budget.made(made)
}

function dict(call: Call): Json {
  if (call.count % 2 === 1) throw new Fault('dict takes names and values in turn')
  const members: [string, Json][] = []
  for (let index = 0; index < call.count; index += 2) members.push([call.text(index), call.value(index + 1)])
  return object(call, members)
}

function choose(call: Call, wanted: boolean): Json {
  const names = new Set(call.args.slice(1).map((_, index) => call.text(index + 1)))
  return object(
    call,
    Object.entries(call.object(0)).filter(([name]) => names.has(name) === wanted),
  )
}

function object(call: Call, members: [string, Json][]): Json {
  call.budget.step(members.length)
  return call.budget.made(Object.fromEntries(members))
}

function fromJson(call: Call): Json {
  const text = call.text(0)
  call.budget.write(text.length)
  let depth = 0
  // Brackets inside texts are counted as well: nobody writes so many.
  for (const mark of text) {
    if (mark === '[' || mark === '{') depth++
    else if (mark === ']' || mark === '}') depth--
    if (depth > DEEPEST_JSON) throw new Fault('fromJson takes no text that is nested so deeply')
  }
  try {
    return JSON.parse(text) as Json
  } catch {
    throw new Fault('fromJson takes JSON, and this text is none')
  }
}
