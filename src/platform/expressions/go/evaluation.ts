import { isJsonObject, type Json } from '../../json.js'
import { Budget, TooExpensive } from './budget.js'
import { Fault } from './call.js'
import { callFunction } from './functions.js'
import type { Branch, Command, Node, Operand, Pipe, Root } from './tree.js'
import { isTrue, kindOf, textOf } from './values.js'

/** What a template is evaluated with. */
export interface Scope {
  /** What `.` and `$` are at the beginning. */
  readonly dot: Json
  /** By name, with the `$`. */
  readonly variables: Readonly<Record<string, Json>>
  /** Functions of the host, such as `$kv.get`. */
  readonly functions: Readonly<Record<string, (args: readonly Json[]) => Json>>
  /** The value of a path below a variable of the host's, where it is not simply the member of that name. */
  readonly read?: (variable: string, steps: readonly (string | number)[]) => Json | undefined
  readonly now: Date
}

/** An expression cannot be evaluated with the values that it meets. The message is for its author, and holds none of the values. */
export class ExpressionError extends Error {
  constructor(
    message: string,
    /** As it is written. */
    readonly expression: string,
    /** Where it stands in the text, counted from 0. */
    readonly offset: number,
  ) {
    super(`{{ ${expression} }}: ${message}`)
    this.name = 'ExpressionError'
  }
}

const LONGEST_SHOWN = 200

type Leaving = 'break' | 'continue' | undefined

/** One evaluation of a template: bounded in steps, time, text and the size of what it makes. Throws `ExpressionError`. */
export class Evaluation {
  private readonly budget = new Budget()
  private readonly out: string[] = []
  private readonly slots: Json[]
  /** The pipe that is worked on, for messages. */
  private current: Pipe | undefined

  constructor(
    private readonly text: string,
    private readonly scope: Scope,
    slots: number,
  ) {
    this.slots = new Array<Json>(slots).fill(null)
  }

  /** The text that the nodes make. */
  render(nodes: readonly Node[]): string {
    return this.guarded(() => {
      this.walk(nodes, this.scope.dot)
      return this.out.join('')
    })
  }

  /** The value of a single expression. */
  value(pipe: Pipe): Json {
    return this.guarded(() => this.pipe(pipe, this.scope.dot))
  }

  private guarded<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      const { from, to } = this.current ?? { from: 0, to: 0 }
      const shown = this.text.slice(from, Math.min(to, from + LONGEST_SHOWN)) + (to - from > LONGEST_SHOWN ? '…' : '')
      if (error instanceof Fault || error instanceof TooExpensive) throw new ExpressionError(error.message, shown, from)
      // Of the engine's stack, which values from outside may be too deep for.
      if (error instanceof RangeError) throw new ExpressionError('the values are nested too deeply', shown, from)
      throw error
    }
  }

  private walk(nodes: readonly Node[], dot: Json): Leaving {
    for (const node of nodes) {
      this.budget.step()
      switch (node.kind) {
        case 'text':
          this.write(node.text)
          break
        case 'action': {
          const value = this.pipe(node.pipe, dot)
          if (node.pipe.targets.length === 0) this.out.push(textOf(value, this.budget))
          break
        }
        case 'break':
        case 'continue':
          return node.kind
        default: {
          const leaving = node.kind === 'range' ? this.range(node, dot) : this.branch(node, dot)
          if (leaving) return leaving
        }
      }
    }
    return undefined
  }

  private write(text: string): void {
    this.budget.write(text.length)
    this.out.push(text)
  }

  private branch({ kind, pipe, body, otherwise }: Branch, dot: Json): Leaving {
    const value = this.pipe(pipe, dot)
    if (!isTrue(value)) return this.walk(otherwise, dot)
    return this.walk(body, kind === 'with' ? value : dot)
  }

  /** Over a list, the members of an object by their names, or so many numbers from 0. */
  private range({ pipe, body, otherwise }: Branch, dot: Json): Leaving {
    const source = this.pipe(pipe, dot, false)
    const [first, second] = pipe.targets
    let empty = true
    for (const [key, value] of this.entries(source)) {
      empty = false
      if (second !== undefined) this.slots[second] = value
      if (first !== undefined) this.slots[first] = second === undefined ? value : key
      if (this.walk(body, value) === 'break') break
    }
    return empty ? this.walk(otherwise, dot) : undefined
  }

  private *entries(source: Json): Generator<[Json, Json]> {
    if (source === null) return
    if (typeof source === 'number' && Number.isSafeInteger(source)) {
      for (let at = 0; at < source; at++) {
        this.budget.step()
        yield [at, at]
      }
    } else if (Array.isArray(source)) {
      for (const [at, value] of source.entries()) {
        this.budget.step()
        yield [at, value]
      }
    } else if (isJsonObject(source)) {
      for (const name of Object.keys(source).sort()) {
        this.budget.step()
        yield [name, source[name] ?? null]
      }
    } else throw new Fault(`range takes a list, an object or a whole number, not ${kindOf(source)}`)
  }

  private pipe(pipe: Pipe, dot: Json, assigns = true): Json {
    this.current = pipe
    let value: Json | undefined
    for (const command of pipe.commands) value = this.command(command, dot, value)
    this.current = pipe
    const result = value ?? null
    if (assigns) for (const slot of pipe.targets) this.slots[slot] = result
    return result
  }

  private command({ operand, args }: Command, dot: Json, piped: Json | undefined): Json {
    this.budget.step()
    if (operand.kind !== 'function') {
      if (piped !== undefined) throw new Fault('a value can be piped into a function only')
      return this.operand(operand, dot)
    }
    return this.call(operand.name, args, dot, piped)
  }

  private call(name: string, args: readonly Operand[], dot: Json, piped?: Json): Json {
    const own = Object.hasOwn(this.scope.functions, name) ? this.scope.functions[name] : undefined
    if (name === 'and' || name === 'or') return this.either(name, args, dot, piped)
    const values = args.map((arg) => this.operand(arg, dot))
    if (piped !== undefined) values.push(piped)
    if (own) return own(values)
    return callFunction(name, values, this.budget, this.scope.now)
  }

  /** The first value that decides, and nothing behind it is evaluated. */
  private either(name: 'and' | 'or', args: readonly Operand[], dot: Json, piped?: Json): Json {
    let value: Json | undefined
    for (const arg of args) {
      value = this.operand(arg, dot)
      if (isTrue(value) === (name === 'or')) return value
    }
    if (piped !== undefined) return piped
    if (value === undefined) throw new Fault(`${name} takes at least one value`)
    return value
  }

  private operand(operand: Operand, dot: Json): Json {
    this.budget.step()
    if (operand.kind === 'literal') return operand.value
    if (operand.kind === 'function') return this.call(operand.name, [], dot)
    if (operand.root.kind === 'host') {
      const special = this.scope.read?.(operand.root.name, operand.steps)
      if (special !== undefined) return special
    }
    let value = this.root(operand.root, dot)
    for (const step of operand.steps) value = this.member(value, step)
    return value
  }

  private root(root: Root, dot: Json): Json {
    switch (root.kind) {
      case 'dot':
        return dot
      case 'whole':
        return this.scope.dot
      case 'slot':
        return this.slots[root.slot] ?? null
      case 'pipe': {
        const around = this.current
        const value = this.pipe(root.pipe, dot)
        this.current = around
        return value
      }
      case 'host': {
        const { variables } = this.scope
        if (!Object.hasOwn(variables, root.name)) throw new Fault(`there is no variable '${root.name}'`)
        return variables[root.name] ?? null
      }
    }
  }

  /** A member that is not there is null, and so is any member of null. */
  private member(value: Json, step: string | number): Json {
    this.budget.step()
    if (value === null) return null
    if (Array.isArray(value) && typeof step === 'number') return value[step] ?? null
    if (isJsonObject(value)) return Object.hasOwn(value, step) ? (value[step] ?? null) : null
    const hint = Array.isArray(value) ? ' (use index, first or range)' : ''
    throw new Fault(`there is no member '${step}' in ${kindOf(value)}${hint}`)
  }
}
