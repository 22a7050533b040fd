import {
  ExpressionSyntaxError,
  GoTemplate,
  type HostNames,
  type Mention,
  parseTemplate,
} from '../../platform/expressions/go-template.js'
import type { Json } from '../../platform/json.js'
import { pointerTo } from '../../platform/json-pointer.js'
import type { LayerFaults } from './faults.js'
import type { Objection } from './outline.js'

/** What expressions begin with. */
export const MARK = '{{'

/** What an expression of a layer may name. */
const HOST: HostNames = {
  variables: new Set(['$prev', '$flowId', '$playId', '$date', '$secrets']),
  functions: new Set(['$kv.get', '$kv.getGlobal']),
  dot: false,
}

const KEPT = 5_000
const LONGEST_KEPT = 2_000
const known = new Map<string, GoTemplate>()

export function holdsExpression(text: string): boolean {
  return text.includes(MARK)
}

/** A text of a layer, taken apart. Throws `ExpressionSyntaxError`. */
export function templateOf(text: string): GoTemplate {
  let template = known.get(text)
  if (template) return template
  template = parseTemplate(text, HOST)
  if (text.length > LONGEST_KEPT) return template
  if (known.size >= KEPT) known.delete(known.keys().next().value as string)
  known.set(text, template)
  return template
}

/**
 * Complains of every text in a value, at any depth and in names, that does not parse, and of whatever one mentions that `fault` has words
 * against.
 */
export function checkExpressions(
  value: Json,
  pointer: string,
  fault: (mention: Mention) => Objection | undefined,
  faults: LayerFaults,
): void {
  const checkText = (text: string, at: string) => {
    if (!holdsExpression(text)) return
    try {
      for (const mention of templateOf(text).mentions) {
        const found = fault(mention)
        if (found) faults.add(at, found.code, found.detail, mention.at)
      }
    } catch (error) {
      if (!(error instanceof ExpressionSyntaxError)) throw error
      faults.add(at, 'expression', error.message, error.offset)
    }
  }
  const check = (inner: Json, at: string) => {
    if (typeof inner === 'string') checkText(inner, at)
    if (typeof inner !== 'object' || inner === null) return
    for (const [name, member] of Object.entries(inner)) {
      const below = pointerTo(at, name)
      if (!Array.isArray(inner)) checkText(name, below)
      check(member, below)
    }
  }
  check(value, pointer)
}
