import { type StepContext, StepError } from '../../engine/step.js'
import {
  ExpressionError,
  ExpressionSyntaxError,
  type GoTemplate,
  parseTemplate,
} from '../../platform/expressions/go-template.js'
import { isJsonObject, type Json } from '../../platform/json.js'
import { invalidParams } from '../invalid-params.js'

/** How long one layer may evaluate its templates in all, without what others do in between. */
const LONGEST_MS = 5_000
/** How long it does so at a stretch. */
const STRETCH_MS = 20
/** Characters that all values together may have as JSON. */
const MOST_CHARS = 64 * 1024 * 1024
const NO_FUNCTIONS = Object.freeze({})

type Variables = Readonly<Record<string, Json>>

/**
 * The evaluations of one layer's own templates, with its items as dot. They see what expressions of the flow see, as `$prev`, and what they
 * are given. Each is bounded by itself; this bounds all of them together, and gives way to other work in between.
 */
export class Templates {
  private spentMs = 0
  private stretchBegan = performance.now()
  private chars = 0
  private readonly sizes = new WeakMap<object, number>()

  private constructor(
    private readonly step: StepContext,
    private readonly variables: Variables,
  ) {}

  static async of(step: StepContext): Promise<Templates> {
    const variables = await step.variables()
    return new Templates(step, withDollars(variables))
  }

  /** Waits for its turn, if it is somebody else's. */
  async turn(): Promise<void> {
    const stretch = performance.now() - this.stretchBegan
    if (stretch < STRETCH_MS) return
    this.spentMs += stretch
    if (this.spentMs > LONGEST_MS)
      throw new StepError('the templates take too long', { code: 'expression', retryable: false })
    await new Promise<void>((resolve) => setImmediate(resolve))
    this.step.signal.throwIfAborted()
    this.stretchBegan = performance.now()
  }

  value(template: GoTemplate, dot: Json, more: Variables = {}): Json {
    return inPlainWords(() => template.evaluate(this.scope(dot, more)))
  }

  text(template: GoTemplate, dot: Json): string {
    return inPlainWords(() => template.render(this.scope(dot, {})))
  }

  private scope(dot: Json, more: Variables) {
    return { dot, variables: { ...this.variables, ...more }, functions: NO_FUNCTIONS, now: this.step.now() }
  }

  /** A value that is kept. What an expression hands on is not copied, but written out as often as it was handed on. */
  kept(value: Json): Json {
    this.chars += this.sizeOf(value)
    if (this.chars > MOST_CHARS)
      throw new StepError('the templates make more than fits into memory', { code: 'too_large', retryable: false })
    return value
  }

  private sizeOf(value: Json): number {
    if (typeof value === 'string') return value.length + 2
    if (typeof value !== 'object' || value === null) return 5
    let size = this.sizes.get(value)
    if (size === undefined) {
      size = 2
      for (const [name, member] of Object.entries(value)) size += name.length + 4 + this.sizeOf(member)
      this.sizes.set(value, size)
    }
    return size
  }
}

/** Takes a text apart. */
export function parsed(text: string): GoTemplate {
  try {
    return parseTemplate(text)
  } catch (error) {
    if (error instanceof ExpressionSyntaxError) throw invalidParams(error.message)
    throw error
  }
}

/** A value that has templates in it, at any depth and in names: what it comes to. */
export type Shape = (evaluate: (template: GoTemplate) => Json) => Json

export function shapeOf(value: Json): Shape {
  if (typeof value === 'string') {
    if (!value.includes('{{')) return () => value
    const template = parsed(value)
    return (evaluate) => evaluate(template)
  }
  if (Array.isArray(value)) {
    const items = value.map(shapeOf)
    return (evaluate) => items.map((item) => item(evaluate))
  }
  if (!isJsonObject(value)) return () => value
  const members = Object.entries(value).map(([name, member]) => [shapeOf(name), shapeOf(member)] as const)
  return (evaluate) => Object.fromEntries(members.map(([name, member]) => [nameOf(name(evaluate)), member(evaluate)]))
}

function nameOf(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function withDollars(variables: Variables): Variables {
  return Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [name.startsWith('$') ? name : `$${name}`, value]),
  )
}

function inPlainWords<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    throw new StepError(error.message, { code: 'expression', retryable: false })
  }
}
