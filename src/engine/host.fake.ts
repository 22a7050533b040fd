import { FakeClock } from '../platform/clock/clock.fake.js'
import type { Json, JsonObject } from '../platform/json.js'
import { isJsonObject } from '../platform/json.js'
import {
  type ApprovalWait,
  type ChildWait,
  type ConsoleLine,
  type Decision,
  type Evaluation,
  type EvaluationResult,
  type Host,
  type OpenedStep,
  Parked,
  type RunEvent,
  type Script,
  ScriptError,
  type SignalWait,
  type StepOutcome,
  type StepPlace,
  type Timer,
} from './host.js'
import type { ChildEnd, ChildRequest, ChildStart, StepContext, Transaction } from './step.js'

/** What a step of a test writes in a transaction: done when it commits. */
export class FakeTransaction {
  readonly writes: (() => void)[] = []

  static of(step: StepContext): FakeTransaction {
    return step.transaction as unknown as FakeTransaction
  }
}

/** What outlives a process: durable outcomes in their order, opened steps, timers by path, attempt and ordinal, and delivered signals by key. */
export class FakeJournal {
  readonly outcomes: StepOutcome[] = []
  readonly opened: OpenedStep[] = []
  readonly timers = new Map<string, Date>()
  readonly signals = new Map<string, Json>()
  /** Runs below this one, and how they ended, in the order of their start. */
  readonly children: FakeChild[] = []

  /** A journal as a crash would have left it after `count` outcomes. */
  first(count: number): FakeJournal {
    const copy = new FakeJournal()
    copy.outcomes.push(...this.outcomes.slice(0, count))
    const settled = new Set(copy.outcomes.map(attemptKey))
    copy.opened.push(...this.opened.filter((step) => settled.has(attemptKey(step))))
    for (const outcome of copy.outcomes)
      if (outcome.dueAt) copy.timers.set(timerKey({ ...outcome, ordinal: 0 }), outcome.dueAt)
    return copy
  }

  paths(state?: StepOutcome['state']): string[] {
    return this.outcomes.filter((outcome) => !state || outcome.state === state).map((outcome) => outcome.path)
  }
}

/** A child as it was asked for, and its end once it has one. */
export type FakeChild = ChildRequest & StepPlace & { id: string; startedAt: Date; end?: ChildEnd }

export interface FakeHostOptions {
  journal?: FakeJournal
  clock?: FakeClock
  secrets?: Record<string, string>
  /** Whether waits that may park do. */
  parks?: boolean
}

/** A host in memory: user code runs in the test's own process, durability comes when the test says so, time moves when it says so. */
export class FakeHost implements Host {
  readonly clock: FakeClock
  readonly journal: FakeJournal
  readonly events: RunEvent[] = []
  /** Every outcome handed in, durable or not. */
  readonly handedIn: StepOutcome[] = []
  readonly evaluations: Evaluation[] = []
  readonly secretsKept: Record<string, string>
  parks: boolean
  secretsAsked = 0
  /** Says why an outcome is refused, if it is. */
  refuse: (outcome: StepOutcome) => Error | undefined = () => undefined
  /** What the host throws instead of answering, by method. */
  readonly broken: { secrets?: Error; sleep?: Error; afterCommit?: Error; checkClaim?: Error } = {}
  /** Paths that approvals were asked for, and what is decided on them. */
  readonly askedApprovals: string[] = []
  readonly decisions = new Map<string, Decision>()
  readonly keyValues = new Map<string, Json>()
  /** Transactions that come to nothing and are begun again. */
  lostTransactions = 0
  private gate: Promise<void> = Promise.resolve()
  private openGate = () => {}

  constructor(options: FakeHostOptions = {}) {
    this.clock = options.clock ?? new FakeClock()
    this.journal = options.journal ?? new FakeJournal()
    this.secretsKept = options.secrets ?? {}
    this.parks = options.parks ?? false
  }

  /** From now on outcomes become durable only after `letGo`. */
  hold(): void {
    this.gate = new Promise((resolve) => {
      this.openGate = resolve
    })
  }

  letGo(): void {
    this.openGate()
  }

  logs(): string[] {
    return this.events.flatMap((event) => (event.type === 'log' ? [event.message] : []))
  }

  async record(outcome: StepOutcome): Promise<void> {
    const text = JSON.stringify(outcome)
    if (text.includes('\\u0000')) throw new Error('PostgreSQL cannot hold U+0000')
    const copy = revived(JSON.parse(text))
    this.handedIn.push(copy)
    await this.gate
    const refusal = this.refuse(copy)
    if (refusal) throw refusal
    this.journal.outcomes.push(copy)
  }

  async open(step: OpenedStep): Promise<void> {
    await this.gate
    this.journal.opened.push(step)
  }

  /** What was written in the transaction is done when its outcome is recorded. */
  async transact(
    _: OpenedStep,
    work: (transaction: Transaction) => Promise<StepOutcome>,
    signal: AbortSignal,
  ): Promise<StepOutcome> {
    for (;;) {
      signal.throwIfAborted()
      const transaction = new FakeTransaction()
      const outcome = await work(transaction as unknown as Transaction)
      if (this.lostTransactions-- > 0) continue
      const refusal = this.refuse(outcome)
      if (refusal) throw refusal
      for (const write of transaction.writes) write()
      this.handedIn.push(outcome)
      this.journal.outcomes.push(revived(JSON.parse(JSON.stringify(outcome))))
      if (this.broken.afterCommit) throw this.broken.afterCommit
      return outcome
    }
  }

  async sleep(timer: Timer, signal: AbortSignal): Promise<void> {
    if (this.broken.sleep) throw this.broken.sleep
    const key = timerKey(timer)
    const dueAt = this.journal.timers.get(key) ?? timer.dueAt
    this.journal.timers.set(key, dueAt)
    if (dueAt <= this.clock.now()) return
    if (this.parks && timer.mayPark) throw new Parked()
    await this.until(dueAt, signal)
  }

  async waitForSignal(wait: SignalWait, signal: AbortSignal): Promise<{ data: Json } | undefined> {
    const key = timerKey({ ...wait, ordinal: -1 })
    if (wait.deadline && !this.journal.timers.has(key)) this.journal.timers.set(key, wait.deadline)
    const data = this.journal.signals.get(wait.key)
    if (data !== undefined) return { data }
    const deadline = this.journal.timers.get(key)
    if (deadline && deadline <= this.clock.now()) return undefined
    if (this.parks && wait.mayPark) throw new Parked()
    if (deadline) await this.until(deadline, signal)
    else await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
    return undefined
  }

  async startChild(child: ChildRequest & StepPlace): Promise<ChildStart> {
    const { children } = this.journal
    const known = children.find(({ path, attempt }) => path === child.path && attempt === child.attempt)
    if (known) return { id: known.id }
    const id = `run_child_${children.length + 1}`
    children.push({ ...child, id, startedAt: this.clock.now() })
    return { id }
  }

  async childEnd({ id, withinMs = Number.POSITIVE_INFINITY }: ChildWait): Promise<ChildEnd> {
    const child = this.journal.children.find((one) => one.id === id)
    if (child?.end) return child.end
    if (child && this.clock.now().getTime() - child.startedAt.getTime() >= withinMs) return { state: 'overdue' }
    throw new Parked()
  }

  async secrets(): Promise<Readonly<Record<string, string>>> {
    this.secretsAsked++
    if (this.broken.secrets) throw this.broken.secrets
    return this.secretsKept
  }

  mask<T extends Json>(value: T): T {
    return this.masked(value) as T
  }

  async approval({ path, mayPark }: ApprovalWait): Promise<Decision> {
    this.askedApprovals.push(path)
    for (;;) {
      const decision = this.decisions.get(path)
      if (decision) return decision
      if (this.parks && mayPark) throw new Parked()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async keyValue(key: string): Promise<Json | undefined> {
    return this.keyValues.get(key)
  }

  checkClaim(): void {
    if (this.broken.checkClaim) throw this.broken.checkClaim
  }

  emit(event: RunEvent): void {
    this.events.push(event)
  }

  async evaluate(evaluation: Evaluation, signal: AbortSignal): Promise<EvaluationResult> {
    signal.throwIfAborted()
    this.evaluations.push(evaluation)
    const lines: ConsoleLine[] = []
    const scope: Record<string, unknown> = JSON.parse(JSON.stringify(evaluation.scope))
    const print =
      (level: ConsoleLine['level']) =>
      (...parts: unknown[]) =>
        lines.push({ level, message: parts.join(' ') })
    scope.console = { log: print('info'), error: print('error') }
    try {
      const values = evaluation.scripts.map((script) => asJson(evaluated(script, scope)))
      const captured = Object.fromEntries((evaluation.capture ?? []).map((name) => [name, asJson(scope[name])]))
      return { values, captured, console: lines }
    } catch (error) {
      throw new ScriptError(error instanceof Error ? error.message : String(error), 'script_error', lines)
    }
  }

  private masked(value: Json): Json {
    if (typeof value === 'string')
      return Object.values(this.secretsKept).reduce((text, secret) => text.replaceAll(secret, '***'), value)
    if (Array.isArray(value)) return value.map((item) => this.masked(item))
    if (!isJsonObject(value)) return value
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [this.mask(name), this.masked(member)]))
  }

  private until(dueAt: Date, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const forget = this.clock.at(dueAt, () => {
        signal.removeEventListener('abort', stop)
        resolve()
      })
      const stop = () => {
        forget()
        reject(signal.reason)
      }
      signal.addEventListener('abort', stop, { once: true })
    })
  }
}

function evaluated(script: Script, scope: Record<string, unknown>): unknown {
  const { code, form } = script
  const body = form === 'expression' ? `return (${code}\n)` : /\breturn\b/.test(code) ? code : 'return eval(code)'
  return new Function('scope', 'code', `with (scope) { return (function () { ${body}\n }).call(undefined) }`)(
    scope,
    code,
  )
}

function asJson(value: unknown): Json {
  return value === undefined ? null : JSON.parse(JSON.stringify(value))
}

function attemptKey({ path, attempt }: { path: string; attempt: number }): string {
  return `${path} ${attempt}`
}

function timerKey(timer: { path: string; attempt: number; ordinal: number }): string {
  return `${timer.path} ${timer.attempt} ${timer.ordinal}`
}

function revived(outcome: JsonObject): StepOutcome {
  const date = (value: Json | undefined) => (typeof value === 'string' ? new Date(value) : undefined)
  return {
    ...(outcome as unknown as StepOutcome),
    startedAt: date(outcome.startedAt) as Date,
    finishedAt: date(outcome.finishedAt) as Date,
    dueAt: date(outcome.dueAt),
  }
}
