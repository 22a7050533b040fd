import { type Graph, nodeNamed } from '../../../engine/graph.js'
import type {
  ApprovalWait,
  ChildWait,
  Decision,
  Evaluation,
  EvaluationResult,
  Host,
  OpenedStep,
  RunEvent,
  SignalWait,
  StepOutcome,
  Timer,
  TracedStep,
  TraceHeaders,
} from '../../../engine/host.js'

import { Parked, type StepPlace } from '../../../engine/host.js'
import { errorOf } from '../../../engine/outcomes.js'
import { passed, stateOf } from '../../../engine/routing.js'
import type { ChildEnd, ChildRequest, ChildStart, Transaction } from '../../../engine/step.js'
import type { Clock } from '../../../platform/clock/clock.js'
import { crashPoint } from '../../../platform/crash-point/crash-point.js'
import type { Json } from '../../../platform/json.js'
import type { SecretMasker } from '../../../platform/masking/secret-masker.js'
import type { ApprovalsService } from '../approvals/approvals.service.js'
import type { RunEvents } from '../events/run-events.js'
import type { Journal } from '../journal/journal.js'
import type { StoredEvent } from '../journal/records.js'
import type { RunChildren } from '../lineage/run-children.js'
import type { SignalsService } from '../signals.service.js'
import type { RunWatch } from '../telemetry/run-telemetry.js'
import type { TakenRun } from '../worker/taken-run.js'
import { EventWriter } from './event-writer.js'
import { LogBudget } from './log-budget.js'
import type { StepTransactions } from './step-transactions.js'

/** A wait longer than this unloads the run; a shorter one is sat out in memory. */
const PARK_AFTER_MS = 2_000
/** How often a wait that cannot be parked looks for its signal. */
const SIGNAL_POLL_MS = 500

export interface RunHostParts {
  clock: Clock
  journal: Journal
  transactions: StepTransactions
  events: RunEvents
  signals: Pick<SignalsService, 'await'>
  approvals: Pick<ApprovalsService, 'await'>
  /** An entry as the run's flow sees it, or of the widest scope alone. */
  keyValue(key: string, scope: 'flow' | 'global'): Promise<Json | undefined>
  /** What it walks, where that is asked for. */
  graph?: Graph
  /** When the run has to have ended. */
  deadline?: Date
  children: RunChildren
  evaluate(evaluation: Evaluation, signal: AbortSignal): Promise<EvaluationResult>
  secrets: Readonly<Record<string, string>>
  masker: Pick<SecretMasker, 'mask'>
  watch: RunWatch
  /** Keeps account of what the run keeps in memory. */
  hold(outcome: StepOutcome): void
  /** Called with each outcome that is durable. */
  gotFurther(): void
  onError(error: unknown): void
}

/** What the engine asks of its surroundings, for one run that this process owns. */
export class RunHost implements Host {
  readonly clock: Clock
  /** The earliest time that anything which was parked waits for. */
  private parkedUntil?: Date
  private readonly events: EventWriter
  /** Settles when the last outcome is durable. */
  private recorded = Promise.resolve()
  private readonly due = new Map<string, Date>()

  constructor(
    private readonly run: TakenRun,
    private readonly parts: RunHostParts,
  ) {
    this.clock = parts.clock
    this.events = new EventWriter(run, run.lastSeq, () => this.recorded, {
      ...parts,
      logs: new LogBudget(parts.journal.logRoom, run.logged),
    })
    for (const timer of run.timers) this.due.set(timerKey(timer), timer.dueAt)
    for (const outcome of run.untold) this.tell(outcome)
  }

  /** When the parked run is to be taken up again; null means when what it waits for comes. */
  get wakeAt(): Date | null {
    return earlier(this.parkedUntil, this.parts.deadline) ?? null
  }

  evaluate(evaluation: Evaluation, signal: AbortSignal): Promise<EvaluationResult> {
    return this.parts.evaluate(evaluation, signal)
  }

  async secrets(): Promise<Readonly<Record<string, string>>> {
    return this.parts.secrets
  }

  mask<T extends Json>(value: T): T {
    return this.parts.masker.mask(value) as T
  }

  record(outcome: StepOutcome): Promise<void> {
    crashPoint('effect-before-journal')
    this.parts.watch.settled(outcome)
    this.parts.hold(outcome)
    this.recorded = this.parts.journal.write({
      kind: 'outcome',
      runId: this.run.id,
      tenantId: this.run.tenantId,
      outcome,
    })
    void this.recorded.then(() => this.settled(outcome)).catch(this.parts.onError)
    return this.recorded
  }

  startChild(child: ChildRequest & StepPlace): Promise<ChildStart> {
    return this.parts.children.start(child)
  }

  childEnd(wait: ChildWait, signal: AbortSignal): Promise<ChildEnd> {
    return this.parts.children.end(wait, signal, (deadline) => {
      this.parkedUntil = earlier(this.parkedUntil, deadline)
    })
  }

  open(open: OpenedStep): Promise<void> {
    return this.parts.journal.write({ kind: 'open', runId: this.run.id, open })
  }

  async transact(
    step: OpenedStep,
    work: (transaction: Transaction) => Promise<StepOutcome>,
    signal: AbortSignal,
  ): Promise<StepOutcome> {
    const outcome = await this.parts.transactions.run({ ...step, run: this.run }, work, signal)
    this.parts.watch.settled(outcome)
    this.parts.hold(outcome)
    this.parts.gotFurther()
    return outcome
  }

  traceHeaders(step: TracedStep): TraceHeaders | undefined {
    return this.parts.watch.traceHeaders(step)
  }

  async sleep(timer: Timer, signal: AbortSignal): Promise<void> {
    const key = timerKey(timer)
    let dueAt = this.due.get(key)
    if (!dueAt) {
      if (timer.dueAt <= this.clock.now()) return
      dueAt = timer.dueAt
      this.due.set(key, dueAt)
      await this.parts.journal.write({ kind: 'timer', runId: this.run.id, timer })
      crashPoint('timer')
    }
    await this.until(dueAt, timer.mayPark, signal)
  }

  async waitForSignal(wait: SignalWait, signal: AbortSignal): Promise<{ data: Json } | undefined> {
    for (;;) {
      const state = await this.parts.signals.await(this.run, wait, this.clock.now(), signal)
      if (state.delivered) return { data: state.data }
      if (state.deadline && state.deadline <= this.clock.now()) return undefined
      if (wait.mayPark) this.park(state.deadline)
      const look = new Date(this.clock.now().getTime() + SIGNAL_POLL_MS)
      await this.until(state.deadline && state.deadline < look ? state.deadline : look, false, signal)
    }
  }

  async approval(wait: ApprovalWait, signal: AbortSignal): Promise<Decision> {
    const state = await this.parts.approvals.await(this.run, wait, signal)
    if ('approved' in state) return state
    // Watchers shall see what it waits for, and an approval is given by a person: it never waits in memory.
    this.park(state.deadline)
  }

  keyValue(key: string, scope: 'flow' | 'global'): Promise<Json | undefined> {
    return this.parts.keyValue(key, scope)
  }

  checkClaim(): void {
    this.parts.journal.checkLease()
  }

  /** That a visit begins is told once, whichever process begins it anew or goes on with it. */
  emit(event: RunEvent): void {
    if (event.type === 'node_started' && this.run.toldStarts?.has(event.path)) return
    this.events.add(event)
  }

  /** Writes the events that are kept back. */
  async flushEvents(): Promise<void> {
    await this.events.flush()
  }

  /** The events that go with the run's end, once all others are written. */
  async lastEvents(): Promise<StoredEvent[]> {
    return await this.events.rest()
  }

  private async settled(outcome: StepOutcome): Promise<void> {
    this.parts.gotFurther()
    await this.parts.children.settled(outcome)
  }

  /** What an earlier owner had recorded and not told any more. */
  private tell(outcome: StepOutcome): void {
    const { node, nodeType, path, attempt, startedAt, finishedAt: at, output = null } = outcome
    const known = this.parts.graph && nodeNamed(this.parts.graph, node)
    const visit = { node, nodeType, path }
    this.emit({ type: 'node_started', ...visit, at: startedAt })
    if (outcome.state === 'failed') {
      const { message, output: carried } = errorOf(outcome)
      const put = carried === undefined ? {} : { output: carried }
      this.emit({ type: 'node_failed', ...visit, attempt, message, ...put, at })
      this.emit({ type: 'log', level: known && passed(known, outcome) ? 'warn' : 'error', message, node, nodeType, at })
      return
    }
    const state = known && stateOf(known, outcome)
    const kept = (state === 'filtered' || state === 'skipped') && { state }
    this.emit({ type: 'node_completed', ...visit, attempt, result: output, ...kept, at })
  }

  /** Several of a run's waits may be parked one after another: it is taken up for the first that is over. */
  private park(until: Date | undefined): never {
    this.parkedUntil = earlier(this.parkedUntil, until)
    throw new Parked()
  }

  private async until(dueAt: Date, mayPark: boolean, signal: AbortSignal): Promise<void> {
    const left = dueAt.getTime() - this.clock.now().getTime()
    if (left <= 0) return
    if (mayPark && left > PARK_AFTER_MS) this.park(dueAt)
    signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const cancel = this.clock.at(dueAt, () => {
        signal.removeEventListener('abort', abort)
        resolve()
      })
      const abort = () => {
        cancel()
        reject(signal.reason)
      }
      signal.addEventListener('abort', abort, { once: true })
    })
    // A process that was frozen meanwhile may not go on as if nothing had happened.
    this.parts.journal.checkLease()
  }
}

function timerKey(timer: { path: string; attempt: number; ordinal: number }): string {
  return `${timer.path} ${timer.attempt} ${timer.ordinal}`
}

function earlier(one: Date | undefined, other: Date | undefined): Date | undefined {
  if (!one || !other) return one ?? other
  return one < other ? one : other
}
