import type { Batch, GraphNode, Hooks, Retry } from '../../engine/graph.js'
import { isDuration, parseDuration } from '../../platform/duration.js'
import type { JsonObject } from '../../platform/json.js'
import { membersOf } from '../../platform/json-pointer.js'
import type { StepTypes } from '../step-types.js'
import type { Cursor } from '../yaml/cursor.js'
import { type FaultList, quote } from '../yaml/faults.js'
import { isUsable, toJson } from '../yaml/located.js'
import { checkExpressions } from './expressions.js'

export interface NodeReading {
  types: StepTypes
  /** All nodes of the flow, by name. */
  names: ReadonlySet<string>
  faults: FaultList
}

const nodeKeys = ['type', 'params', 'next', 'batch', 'retry', 'hooks', 'x-guarantee']
const strategies: readonly Batch['strategy'][] = ['serial', 'async', 'parallel', 'worker_pool']
const hookNames: readonly (keyof Hooks)[] = ['prep', 'exec', 'post']
const maxNameLength = 128
/** What a `prep` hook may still supply before the step looks at its parameters. */
const suppliable: ReadonlySet<string> = new Set(['required', 'any_of', 'one_of'])
/** Of a batch that names no `max_parallel`. */
const defaultParallel = 64
const maxWaitMs = 365 * 24 * 3_600_000

/** One member of `nodes`. Undefined where its edges could not be read; other faults are told and leave a node to go on with. */
export function readNode(name: string, cursor: Cursor, reading: NodeReading): GraphNode | undefined {
  const node = new NodeReader(name, reading)
  node.checkName(cursor)
  if (!node.isMapping(cursor, '', nodeKeys)) return undefined
  const type = node.type(cursor.member('type'))
  const next = node.next(cursor.member('next'))
  const batch = node.batch(cursor.member('batch'))
  const retry = node.retry(cursor.member('retry'))
  const hooks = node.hooks(cursor.member('hooks'))
  const params = node.params(cursor, type, batch !== undefined, hooks)
  const guarantee = node.guarantee(cursor.member('x-guarantee'), type, params, hooks)
  return (
    next && {
      name,
      type,
      params,
      next,
      ...(batch && { batch }),
      ...(retry && { retry }),
      ...(hooks && { hooks }),
      ...(guarantee && { guarantee }),
    }
  )
}

/** Reads the parts of one node, and complains of them in its name. */
class NodeReader {
  private readonly node: string

  constructor(
    private readonly name: string,
    private readonly reading: NodeReading,
  ) {
    this.node = `node ${quote(name)}`
  }

  checkName(cursor: Cursor): void {
    const complain = (detail: string) => cursor.complain(this.reading.faults, 'node_name', detail, 'key')
    if (this.name.trim() === '') complain('a node name must not be empty')
    if (this.name.length > maxNameLength)
      complain(`the name of ${this.node} is longer than ${maxNameLength} characters`)
    if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(this.name)) complain(`the name of ${this.node} holds a control character`)
  }

  /** True for a mapping without strange keys, and for nothing at all. Strange keys are told and passed over. */
  isMapping(cursor: Cursor, what: string, keys?: readonly string[]): boolean {
    if (cursor.isUnusable) return false
    const owner = what ? `${what} of ${this.node}` : this.node
    if (cursor.value && !cursor.isMapping) {
      cursor.complain(this.reading.faults, 'type', `${owner} must be a mapping`)
      return false
    }
    for (const [key, member] of keys ? cursor.members : []) {
      if (keys?.includes(key)) continue
      const detail = `unknown key ${quote(key)} in ${owner} (known: ${keys?.join(', ')})`
      member.complain(this.reading.faults, 'unknown_key', detail, 'key')
    }
    return true
  }

  type(cursor: Cursor): string {
    if (!cursor.value) this.complain(cursor, 'required', `${this.node} has no type`)
    else if (cursor.string === undefined) this.complain(cursor, 'type', `the type of ${this.node} must be a text`)
    else if (!this.reading.types.has(cursor.string)) {
      this.complain(cursor, 'unknown_node_type', `unknown node type ${quote(cursor.string)} in ${this.node}`)
    }
    return cursor.string ?? ''
  }

  params(node: Cursor, type: string, isBatch: boolean, hooks: Hooks | undefined): JsonObject {
    const none: JsonObject = Object.create(null)
    const { types, faults } = this.reading
    const cursor = node.member('params')
    if (!this.isMapping(cursor, 'params')) return none
    // Which parameters hold code, and which there are, is known only with the type.
    if (!types.has(type)) return none
    checkExpressions(cursor, new Set(types.codeParams(type)), faults)
    if (cursor.value && !isUsable(cursor.value)) return none

    const params = cursor.value ? (toJson(cursor.value) as JsonObject) : none
    if (isBatch) this.items(cursor.member('items'))
    // A hook in place of the step's own work is free in its parameters.
    if (hooks?.exec !== undefined) return params
    for (const { path, detail, code } of types.checkParams(type, isBatch ? withoutItems(params) : params)) {
      if (hooks?.prep !== undefined && suppliable.has(code)) continue
      node.follow(membersOf(path)).complain(faults, code, `${this.node}: ${detail}`)
    }
    return params
  }

  private items(cursor: Cursor): void {
    const isExpression = cursor.string?.includes('${')
    if (!cursor.value || cursor.value.kind === 'list' || isExpression) return
    this.complain(cursor, 'type', `items of ${this.node} must be a list, or an expression for one`)
  }

  /** Undefined where the edges could not be read. */
  next(cursor: Cursor): Record<string, string> | undefined {
    if (!this.isMapping(cursor, 'next')) return undefined
    const next: Record<string, string> = Object.create(null)
    let isReadable = true
    for (const [action, member] of cursor.members) {
      const target = member.string
      if (action === '') this.complain(member, 'required', `next of ${this.node} has an empty action`, 'key')
      if (target) {
        next[action] = target
        if (this.reading.names.has(target)) continue
        const detail = `${this.node} references non-existent node ${quote(target)} for action ${quote(action)}`
        this.complain(member, 'unknown_node', detail)
      } else {
        isReadable = false
        this.complain(member, 'type', `next of ${this.node} must name a node for action ${quote(action)}`)
      }
    }
    return isReadable ? next : undefined
  }

  batch(cursor: Cursor): Batch | undefined {
    if (!cursor.value || !this.isMapping(cursor, 'batch', ['strategy', 'max_parallel', 'x-collect'])) return undefined
    const named = cursor.member('strategy')
    const strategy = strategies.find((known) => known === named.string)
    if (!named.value)
      this.complain(named, 'required', `batch of ${this.node} has no strategy (${strategies.join(', ')})`)
    else if (!strategy)
      this.complain(named, 'enum', `batch strategy of ${this.node} must be one of ${strategies.join(', ')}`)
    const maxParallel = this.integer(cursor.member('max_parallel'), 'batch max_parallel', 1) ?? defaultParallel
    const collect = this.boolean(cursor.member('x-collect'), 'batch x-collect')
    return (
      strategy && {
        strategy,
        maxParallel: strategy === 'serial' ? 1 : maxParallel,
        ...(collect === false && { collect }),
      }
    )
  }

  retry(cursor: Cursor): Retry | undefined {
    if (!cursor.value || !this.isMapping(cursor, 'retry', ['max_retries', 'wait'])) return undefined
    // The word says retries; what FlowRunner counts are attempts in all.
    const maxAttempts = Math.max(1, this.integer(cursor.member('max_retries'), 'retry max_retries', 0) ?? 1)
    return { maxAttempts, waitMs: this.wait(cursor.member('wait')) }
  }

  hooks(cursor: Cursor): Hooks | undefined {
    if (!cursor.value || !this.isMapping(cursor, 'hooks', hookNames)) return undefined
    const hooks: { -readonly [K in keyof Hooks]: Hooks[K] } = {}
    for (const name of hookNames) {
      const hook = cursor.member(name)
      if (hook.string !== undefined) hooks[name] = hook.string
      else if (hook.value) this.complain(hook, 'type', `hook ${name} of ${this.node} must be a text with JavaScript`)
    }
    return hooks
  }

  /** May be asked of steps with an outside effect only: what may run again unseen, or commits with its outcome, has no use for it. */
  guarantee(
    cursor: Cursor,
    type: string,
    params: JsonObject,
    hooks: Hooks | undefined,
  ): GraphNode['guarantee'] | undefined {
    if (!cursor.value) return undefined
    const useless = (why: string) =>
      this.complain(cursor, 'guarantee', `x-guarantee of ${this.node} is of no use: ${why}`)
    if (cursor.string !== 'at_most_once') {
      this.complain(cursor, 'enum', `x-guarantee of ${this.node} must be at_most_once`)
    } else if (this.reading.types.has(type)) {
      const stepClass = this.reading.types.classOf(type, params)
      if (hooks?.exec !== undefined) useless('its exec hook stands in for the work, and has no effect outside')
      else if (stepClass === 'pure') useless(`this ${type} step has no effect outside, so that it may run again unseen`)
      else if (stepClass === 'transactional') useless(`this ${type} step takes effect exactly once`)
      else return 'at_most_once'
    }
    return undefined
  }

  private boolean(cursor: Cursor, noun: string): boolean | undefined {
    const value = cursor.scalar?.value
    if (!cursor.value || typeof value === 'boolean') return typeof value === 'boolean' ? value : undefined
    this.complain(cursor, 'type', `${noun} of ${this.node} must be true or false`)
    return undefined
  }

  private wait(cursor: Cursor): number {
    if (!cursor.value) return 0
    const wait = cursor.string ?? ''
    if (!/^[0-9]+(ns|us|ms|s|m|h)$/.test(wait)) {
      this.complain(
        cursor,
        'pattern',
        `retry wait of ${this.node} must be a whole number with a unit (ns, us, ms, s, m, h), such as 5s`,
      )
      return 0
    }
    const waitMs = isDuration(wait) ? Math.ceil(parseDuration(wait)) : Number.POSITIVE_INFINITY
    if (waitMs <= maxWaitMs) return waitMs
    this.complain(cursor, 'maximum', `retry wait of ${this.node} may be at most 8760h`)
    return 0
  }

  private integer(cursor: Cursor, noun: string, minimum: number): number | undefined {
    const value = cursor.scalar?.value
    if (!cursor.value) return undefined
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= minimum) return value
    this.complain(cursor, 'minimum', `${noun} of ${this.node} must be a whole number of at least ${minimum}`)
    return undefined
  }

  private complain(cursor: Cursor, code: string, detail: string, spot?: 'key'): void {
    if (!cursor.isUnusable) cursor.complain(this.reading.faults, code, detail, spot)
  }
}

/** The list of a batch is the engine's; the step is given one item at a time. */
function withoutItems({ items: _, ...params }: JsonObject): JsonObject {
  return params
}
