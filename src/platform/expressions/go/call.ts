import { isJsonObject, type Json, type JsonObject } from '../../json.js'
import type { Budget } from './budget.js'
import { kindOf } from './values.js'

/** What is wrong with an expression, in words that do not name it yet. */
export class Fault extends Error {}

/** A function of the library. */
export interface GoFunction {
  readonly least: number
  /** Absent: any number. */
  readonly most?: number
  readonly run: (call: Call) => Json
}

/** One call of a function: its arguments, checked as they are asked for. A piped value is the last. */
export class Call {
  constructor(
    readonly name: string,
    readonly args: readonly Json[],
    readonly budget: Budget,
    readonly now: Date,
  ) {}

  get count(): number {
    return this.args.length
  }

  has(at: number): boolean {
    return at < this.args.length
  }

  value(at: number): Json {
    return this.args[at] ?? null
  }

  text(at: number): string {
    const value = this.value(at)
    if (typeof value !== 'string') throw this.wrong('a text', value)
    this.budget.read(value.length)
    return value
  }

  number(at: number): number {
    const value = this.value(at)
    if (typeof value === 'number') return value
    throw this.wrong('a number', value, typeof value === 'string' ? ' (convert it with int or float)' : '')
  }

  whole(at: number): number {
    const value = this.number(at)
    if (!Number.isSafeInteger(value)) throw new Fault(`${this.name} takes a whole number`)
    return value
  }

  list(at: number): readonly Json[] {
    const value = this.value(at)
    if (!Array.isArray(value)) throw this.wrong('a list', value)
    this.budget.step(1 + value.length)
    return value
  }

  object(at: number): JsonObject {
    const value = this.value(at)
    if (!isJsonObject(value)) throw this.wrong('an object', value)
    this.budget.step(1 + Object.keys(value).length)
    return value
  }

  /** A text that was just put together. */
  made(text: string): string {
    this.budget.write(text.length)
    return text
  }

  wrong(wanted: string, value: Json, hint = ''): Fault {
    return new Fault(`${this.name} takes ${wanted}, not ${kindOf(value)}${hint}`)
  }
}
