import type { Json } from '../json.js'

const STEP = /\.([A-Za-z_$][\w$]*)|\[(\d{1,9})\]|\[("(?:[^"\\\n]|\\["\\/bfnrt])*")\]|\[('[^'\\\n]*')\]/y
const ROOT = /^\s*([A-Za-z_$][\w$]*)/
const LITERAL = /^\s*(-?\d{1,15}(?:\.\d{1,15})?|true|false|null|"(?:[^"\\\n]|\\["\\/bfnrt])*"|'[^'\\\n]*')\s*$/

/** Code that is only a path of properties or a literal: what can be answered without a sandbox. */
export type Simple = { literal: Json } | { root: string; steps: (string | number)[] }

export function parseSimple(code: string): Simple | undefined {
  const literal = LITERAL.exec(code)?.[1]
  if (literal !== undefined) return { literal: literalValue(literal) }
  const root = ROOT.exec(code)
  if (!root) return undefined
  const steps: (string | number)[] = []
  STEP.lastIndex = root[0].length
  for (;;) {
    const at = STEP.lastIndex
    const step = STEP.exec(code)
    if (!step) return code.slice(at).trim() === '' ? { root: root[1] as string, steps } : undefined
    if (step[1] !== undefined) steps.push(step[1])
    else if (step[2] !== undefined) steps.push(Number(step[2]))
    else steps.push(literalValue((step[3] ?? step[4]) as string) as string)
  }
}

/**
 * The value of simple code over plain JSON, by own properties only. Undefined where JavaScript would do more than that (an inherited
 * property, a missing one, an error): the sandbox has the last word on these.
 */
export function evaluateSimple(simple: Simple, variables: Readonly<Record<string, Json>>): { value: Json } | undefined {
  if ('literal' in simple) return { value: simple.literal }
  if (!Object.hasOwn(variables, simple.root)) return undefined
  let value = variables[simple.root]
  for (const step of simple.steps) {
    if (step === 'length' && (typeof value === 'string' || Array.isArray(value))) value = value.length
    else if (typeof value === 'object' && value !== null && Object.hasOwn(value, step))
      value = (value as Record<string, Json>)[step]
    else return undefined
  }
  return value === undefined ? undefined : { value }
}

function literalValue(text: string): Json {
  if (text.startsWith("'")) return text.slice(1, -1)
  return JSON.parse(text) as Json
}
