import type { Json } from '../json.js'
import { Evaluation, type Scope } from './go/evaluation.js'
import { type HostNames, parse, type Tree } from './go/parser.js'
import type { Mention, Pipe } from './go/tree.js'

export { Fault as ExpressionFault } from './go/call.js'
export { ExpressionError, type Scope } from './go/evaluation.js'
export type { HostNames } from './go/parser.js'
export type { Mention } from './go/tree.js'
export { isTrue } from './go/values.js'
export { ExpressionSyntaxError } from './scan.js'

const REMEMBERED = 2_000
const LONGEST_REMEMBERED = 2_000
const known = new Map<string, GoTemplate>()
const NOTHING: Readonly<Record<string, never>> = Object.freeze({})

/**
 * A text with `{{ … }}` in the syntax of Go's templates, taken apart once. It is evaluated here, in our own process: there is no code in
 * it that could do more than its functions, members are read where an object has them itself, and every evaluation is bounded in steps,
 * time and size. What it holds was written by users, and so was what it works on.
 */
export class GoTemplate {
  /** The variables of the host's that it mentions, in the order of the text. */
  readonly mentions: readonly Mention[]
  /** The host's functions that it calls, such as `$kv.get`. */
  readonly calls: readonly string[]
  /** Whether it asks for the time. */
  readonly usesClock: boolean
  private readonly tree: Tree
  private readonly single: Pipe | undefined

  /** Throws `ExpressionSyntaxError`. */
  constructor(
    readonly text: string,
    host: HostNames = {},
  ) {
    this.tree = parse(text, host)
    this.mentions = this.tree.mentions
    this.calls = this.tree.calls
    this.usesClock = this.tree.usesClock
    const [only] = this.tree.nodes
    const isSingle = this.tree.nodes.length === 1 && only?.kind === 'action' && only.pipe.targets.length === 0
    this.single = isSingle ? only.pipe : undefined
  }

  /** The value of a text that is one expression and nothing else, with its type; of any other the text that it makes. */
  evaluate(scope: Scope): Json {
    const evaluation = new Evaluation(this.text, scope, this.tree.slots)
    return this.single ? evaluation.value(this.single) : evaluation.render(this.tree.nodes)
  }

  /** The text that it makes, where it is one expression too. */
  render(scope: Scope): string {
    return new Evaluation(this.text, scope, this.tree.slots).render(this.tree.nodes)
  }
}

/** Takes a text apart. Throws `ExpressionSyntaxError` with the place of the fault. */
export function parseTemplate(text: string, host?: HostNames): GoTemplate {
  return new GoTemplate(text, host)
}

export interface TemplateScope {
  /** What `.` is. */
  dot: Json
  /** Further variables: `item` is `$item`. */
  variables?: Readonly<Record<string, Json>>
  /** What `now` is; the clock's time unless said. */
  now?: Date
}

/**
 * Evaluates a text with a value as `.`: `{{ gt .amount 100 }}` is true or false, `Dear {{ .name }}` a text. Throws `ExpressionSyntaxError`
 * or `ExpressionError`, whose messages are for the author.
 */
export function evaluateTemplate(text: string, scope: TemplateScope): Json {
  return remembered(text).evaluate(scopeOf(scope))
}

/** As `evaluateTemplate`, and always a text. */
export function renderTemplate(text: string, scope: TemplateScope): string {
  return remembered(text).render(scopeOf(scope))
}

function scopeOf({ dot, variables = {}, now = new Date() }: TemplateScope): Scope {
  const named = Object.entries(variables).map(([name, value]) => [name.startsWith('$') ? name : `$${name}`, value])
  return { dot, variables: Object.fromEntries(named), functions: NOTHING, now }
}

function remembered(text: string): GoTemplate {
  let template = known.get(text)
  if (template) return template
  template = new GoTemplate(text)
  if (text.length > LONGEST_REMEMBERED) return template
  if (known.size >= REMEMBERED) known.delete(known.keys().next().value as string)
  known.set(text, template)
  return template
}
