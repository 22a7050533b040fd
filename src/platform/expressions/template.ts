import type { Json, JsonObject } from '../json.js'
import { pointerTo } from '../json-pointer.js'
import type { Script } from '../sandbox/evaluation.js'
import { evaluatePath } from './path.js'
import { ExpressionSyntaxError, type Piece, pieces } from './scan.js'

/** A value with its expressions taken out. */
export interface Template<T extends Json = Json> {
  readonly scripts: readonly Script[]
  /** The value of script `index` where a look at the variables is enough; undefined where it needs the sandbox. */
  local(index: number, variables: Readonly<Record<string, Json>>): { value: Json } | undefined
  /** The value with each expression replaced by its own; `values` in the order of `scripts`. Fresh objects every time. */
  render(values: readonly Json[]): T
}

type Render = (values: readonly Json[]) => Json

const known = new WeakMap<object, Template>()

/**
 * Finds the expressions in a value, at any depth and in keys. A text that is one `${…}` and nothing else takes the expression's value
 * with its type; inside other text and in keys values become text: strings as they are, null as nothing, the rest as JSON.
 * Throws `ExpressionSyntaxError` with a pointer to the text. Remembered per object, so that object must not change.
 */
export function compileTemplate<T extends Json>(value: T): Template<T> {
  const isObject = typeof value === 'object' && value !== null
  const remembered = isObject ? known.get(value) : undefined
  if (remembered) return remembered as Template<T>
  const scripts: Script[] = []
  const render = compile(value, '', scripts)
  const template: Template<T> = {
    scripts,
    local: (index, variables) => evaluatePath(scripts[index]?.code ?? '', variables),
    render: (values) => render(values) as T,
  }
  if (isObject) known.set(value, template)
  return template
}

function compile(value: Json, pointer: string, scripts: Script[]): Render {
  if (typeof value === 'string') return compileText(value, pointer, scripts)
  if (Array.isArray(value)) {
    const items = value.map((item, index) => compile(item, `${pointer}/${index}`, scripts))
    return (values) => items.map((item) => item(values))
  }
  if (typeof value === 'object' && value !== null) return compileObject(value, pointer, scripts)
  return () => value
}

/** Where two keys become the same, the later one wins. */
function compileObject(object: JsonObject, pointer: string, scripts: Script[]): Render {
  const members = Object.entries(object).map(([key, member]) => {
    const at = pointerTo(pointer, key)
    const name = interpolation(piecesOf(key, at), scripts)
    return { name, value: compile(member, at, scripts) }
  })
  return (values) => Object.fromEntries(members.map(({ name, value }) => [name(values), value(values)]))
}

function compileText(text: string, pointer: string, scripts: Script[]): Render {
  const parts = piecesOf(text, pointer)
  const [only] = parts
  if (parts.length !== 1 || only === undefined || typeof only === 'string') return interpolation(parts, scripts)
  const index = add(only.code, scripts)
  return (values) => values[index] ?? null
}

function interpolation(parts: readonly Piece[], scripts: Script[]): (values: readonly Json[]) => string {
  if (parts.every((part) => typeof part === 'string')) {
    const text = parts.join('')
    return () => text
  }
  const renders = parts.map((part) => {
    if (typeof part === 'string') return () => part
    const index = add(part.code, scripts)
    return (values: readonly Json[]) => asText(values[index] ?? null)
  })
  return (values) => renders.map((render) => render(values)).join('')
}

function asText(value: Json): string {
  if (value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function add(code: string, scripts: Script[]): number {
  return scripts.push({ code, form: 'expression' }) - 1
}

function piecesOf(text: string, pointer: string): Piece[] {
  try {
    return pieces(text)
  } catch (error) {
    if (error instanceof ExpressionSyntaxError) throw new ExpressionSyntaxError(error.message, error.offset, pointer)
    throw error
  }
}
