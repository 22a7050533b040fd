import type { Json, JsonObject, JsonSchema } from '../platform/json.js'

/**
 * What a crash may do to a step. No class but `pure` starts before all that came earlier is durable.
 *
 * - `pure`: it may run again, unseen.
 * - `effect`: it runs at least once and never again once its outcome is recorded; every attempt has the same idempotency key.
 * - `transactional`: what it changes and its outcome are committed together, so it takes effect exactly once.
 * - `at_most_once`: its start is recorded first. An attempt that was lost between start and outcome is `unknown` and never repeated.
 */
export type StepClass = 'pure' | 'effect' | 'transactional' | 'at_most_once'

declare const opaque: unique symbol

/** A transaction of the host's, which the ports of a transactional step write in. Only the host knows what it is. */
export interface Transaction {
  readonly [opaque]: 'transaction'
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** What step types are grouped by, for people who choose one. */
export const STEP_CATEGORIES = ['control', 'data', 'http', 'kv', 'database', 'messaging', 'ai'] as const

export type StepCategory = (typeof STEP_CATEGORIES)[number]

/** A kind of node: what it takes, and what it does. One instance serves every run, so it holds no state of a run. */
export interface StepType {
  readonly name: string
  /** What people call it; its name where absent. */
  readonly title?: string
  readonly category?: StepCategory
  /** One sentence for people. */
  readonly summary: string
  /** JSON Schema (2020-12) of the parameters: checked at upload where they are literal, and again once expressions are evaluated. */
  readonly params: JsonSchema
  /** JSON Schema (2020-12) of what it puts out, where that can be said beforehand. */
  readonly output?: JsonSchema
  /** The strictest class that a call of this type may have. */
  readonly stepClass: StepClass
  /** Where the parameters make a milder one of it: a type may read as well as write. */
  classOf?(params: Readonly<JsonObject>): StepClass
  /** Top-level parameters that hold code for the step itself to evaluate; `${…}` in them is left alone. */
  readonly codeParams?: readonly string[]
  /** The word under which `shared` offers the last output of this kind, such as `http_result`. */
  readonly sharedAs?: string
  /** True where authors of flows cannot name it: only definitions of jobs, which others vouch for, compile to it. */
  readonly isForJobsOnly?: true
  run(params: JsonObject, step: StepContext): Promise<StepResult>
}

export interface StepResult {
  output: Json
  /** The action whose edge the flow follows; absent means `default`. */
  action?: string
  /** Members to add to `shared` for every later node. */
  shared?: JsonObject
}

/** What a step may know and use while it runs. */
export interface StepContext {
  readonly run: RunIdentity
  readonly node: string
  readonly nodeType: string
  /** The node that this one's `default` edge leads to, if any. */
  readonly nextNode?: string
  /** Counted from 1. */
  readonly attempt: number
  /** What a transactional step writes in; the others have none. */
  readonly transaction?: Transaction
  /** `{run}:{path}`: the same on every attempt, also after a crash, and in a run that goes on from another. */
  readonly idempotencyKey: string
  /** The previous node's output; for the start node the run's input. */
  readonly input: Json
  /** The run's own input. */
  readonly runInput: Json
  /** Aborts when the run is cancelled, the process stops, or a sibling of a batch failed. Pass it to whatever waits. */
  readonly signal: AbortSignal
  readonly now: () => Date
  log(level: LogLevel, message: string, data?: JsonObject): void
  /** The value without the account's secrets: for whatever a step leaves where it can be read later. */
  mask(value: Json): Json
  /** The account's secret of this name, for what a step uses where its parameters say nothing. */
  secret(name: string): Promise<string | undefined>
  /** What the flow's language shows to the code of this step: for a step that evaluates expressions itself. */
  variables(): Promise<Readonly<Record<string, Json>>>
  /** Evaluates JavaScript in the sandbox with the run's variables and `extra` on top. Body with `return`, or one expression. */
  script(code: string, extra?: Readonly<Record<string, Json>>): Promise<Json>
  /** Resolves when `at` has come. Survives restarts: the wait is a row. */
  sleepUntil(at: Date): Promise<void>
  /** Resolves with the signal's data, or undefined when the deadline passed first. Survives restarts. */
  waitForSignal(key: string, deadline?: Date): Promise<{ data: Json } | undefined>
  /** Starts a run of another flow below this one, once per attempt: repeated after a crash, it finds the same one. */
  startChild(child: ChildRequest): Promise<ChildStart>
  /** Resolves with how a child ended that was started to be waited for, in time where that is given. Survives restarts. */
  childEnd(id: string, withinMs?: number): Promise<ChildEnd>
  /** Throws once another process may have taken the run over. Pass it to whatever sends, to be called in the last moment before it does. */
  checkClaim(): void
  /** Headers for a server that the step calls, so that it goes on with this step's trace; undefined where nothing is traced. */
  traceHeaders?(): Readonly<Record<string, string>> | undefined
}

/** The run of another flow that a step asks for. */
export interface ChildRequest {
  flowId: string
  /** The label of the revision to run; absent means the current one. */
  version?: string
  input: Json
  /** True where the step goes on to wait for its end: then the child ends with whoever waits for it. */
  awaited: boolean
}

export type ChildStart = { id: string } | { refusal: { message: string; code: string; retryable: boolean } }

export type ChildEnd =
  | { state: 'completed'; result: JsonObject }
  | { state: 'failed'; error: { message: string; code?: string; node?: string } }
  | { state: 'cancelled' }
  /** The time that it was given since its start is over, and it has not ended. */
  | { state: 'overdue' }

export interface RunIdentity {
  readonly id: string
  readonly flowId: string
  readonly tenantId: string
  readonly accountId: string
  /** The run whose id stands in idempotency keys, where it is not this one: a run that goes on from another repeats its keys. */
  readonly keyBase?: string
  /** The run that it goes on from, or does again. */
  readonly resumedFrom?: string
}

export interface StepErrorOptions {
  /** A stable word for programs, such as `http_status`. */
  code?: string
  /** The edge to prefer before `error`, such as `server_error`. */
  action?: string
  /** What the step produced before it failed; offered to the node behind the `error` edge. */
  output?: Json
  /** False where another attempt cannot help. */
  retryable?: boolean
  cause?: unknown
}

/** A step's failure, in words for the flow's author. Anything else that a step throws is reported by its message alone. */
export class StepError extends Error {
  readonly code: string
  readonly action?: string
  readonly output?: Json
  readonly retryable: boolean

  constructor(message: string, options: StepErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.name = 'StepError'
    this.code = options.code ?? 'step_failed'
    this.action = options.action
    this.output = options.output
    this.retryable = options.retryable ?? true
  }
}

/** The step types known to this process, by name. */
export class StepRegistry {
  private readonly types = new Map<string, StepType>()

  constructor(types: Iterable<StepType> = []) {
    for (const type of types) this.add(type)
  }

  add(type: StepType): void {
    if (this.types.has(type.name)) throw new Error(`step type '${type.name}' is registered twice`)
    this.types.set(type.name, type)
  }

  get(name: string): StepType | undefined {
    return this.types.get(name)
  }

  all(): StepType[] {
    return [...this.types.values()]
  }

  /** Those that authors of flows may name. */
  forFlows(): StepType[] {
    return this.all().filter(({ isForJobsOnly }) => !isForJobsOnly)
  }
}
