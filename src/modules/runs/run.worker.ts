import type { Graph } from '../../engine/graph.js'
import type { FlowError, RunEnding, StepOutcome } from '../../engine/host.js'
import type { Engine } from '../../engine/interpreter.js'
import type { Language } from '../../engine/language.js'
import type { Clock } from '../../platform/clock/clock.js'
import { crashPoint } from '../../platform/crash-point/crash-point.js'
import { isDatabaseGone } from '../../platform/database/database-is-gone.js'
import type { Sql } from '../../platform/database/sql.js'
import type { JsonObject } from '../../platform/json.js'
import { inWork } from '../../platform/log/work-context.js'
import { RevisionUnusable } from '../flows/flows.errors.js'
import type { Admissions } from './dispatch/admissions.js'
import type { HandOver } from './dispatch/hand-over.js'
import { StepTransactions } from './host/step-transactions.js'
import type { Journal } from './journal/journal.js'
import type { Ending, Writer } from './journal/records.js'
import type { ChildRuns } from './lineage/child-runs.js'
import { RunChildren } from './lineage/run-children.js'
import { MemoryBudget, weightOf } from './memory-budget.js'
import type { RunEvents } from './run-events.js'
import { RunHost, type RunHostParts } from './run-host.js'
import { LeaseLost, ValueUnavailable } from './runs.errors.js'
import {
  claimDueRuns,
  claimHandedRuns,
  type HandedRun,
  isOwned,
  nextDueAt,
  ownedRunIds,
  retakeRuns,
  type TakenRun,
} from './taken-run.js'
import { type Rest, type RunTelemetry, type RunWatch, UNMEASURED } from './telemetry/run-telemetry.js'
import type { RunValues } from './values/run-values.js'

const CLAIM_BATCH = 100
/** How often the queue is looked at without a hint. */
const LOOK_MS = 1_000
/** How often this process compares what it works on with what is its own by the table. */
const COMPARE_MS = 2_000
/** How long events may stay unwritten while a run goes on. */
const WRITE_EVENTS_MS = 1_000

export const RUN_SUPPLIES = Symbol('run supplies')

/** What a run needs beside the engine; asked for once, when the run is taken. */
export interface RunSupplies {
  /** Who keeps the values that are too large for rows; without it there are none. */
  readonly values?: RunValues
  /** Throws `RevisionUnusable` when that revision can never be run. */
  compiled(flowId: string, revision: number): Promise<{ graph: Graph; language: Language }>
  hostParts(run: TakenRun): Promise<Pick<RunHostParts, 'evaluate' | 'secrets' | 'masker' | 'signals'>>
  /** The runs that steps start. */
  readonly children: ChildRuns
}

export interface WorkerParts {
  sql: Sql
  clock: Clock
  engine: Engine
  journal: Journal
  events: RunEvents
  supplies: RunSupplies
  owner: Writer
  telemetry?: RunTelemetry
  /** The tags of the runs that it takes. */
  tags: readonly string[]
  /** Runs that it works on at the same time; the rest is for others, or waits. */
  maxActive: number
  handOver: HandOver
  admissions: Admissions
  memory?: MemoryBudget
  /** Runs were cancelled, here or elsewhere, because nobody waits for them any more. */
  onCancelled(runIds: readonly string[]): void
  onError(error: unknown, runId?: string): void
}

interface Active {
  suspect: boolean
  /** What its values weigh. */
  held: number
  controller: AbortController
  host?: RunHost
  done: Promise<void>
}

/** A run that this process was handed, until it is settled what becomes of it here. */
interface Handed extends HandedRun {
  settle(work?: Promise<void>): void
}

const HANDED_BACK = Symbol('handed back')
const CANCELLED = Symbol('cancelled')

/**
 * The runs that this process works on. A run comes in by being accepted here, by being claimed from the table once it is due, or by being
 * handed over from a queue, and goes out by ending, by being parked on a wait, or by being handed back when the process stops.
 */
export class RunWorker {
  private readonly active = new Map<string, Active>()
  private readonly transactions: StepTransactions
  private readonly memory: MemoryBudget
  private reserved = 0
  private stopping = false
  private isLost = false
  private claiming?: Promise<void>
  private again = false
  private readonly handed: Handed[] = []
  private claimingHanded?: Promise<void>
  /** Claims follow one another: what one has under way, the next does not know of. */
  private lastClaim: Promise<unknown> = Promise.resolve()
  private compareAt = 0
  private forgetWake = () => {}
  private readonly look: NodeJS.Timeout
  private readonly writeEvents: NodeJS.Timeout

  constructor(private readonly parts: WorkerParts) {
    this.memory = parts.memory ?? new MemoryBudget()
    this.transactions = new StepTransactions(parts.sql, parts.owner, parts.supplies.values)
    this.look = setInterval(() => this.lookForWork(), LOOK_MS)
    this.writeEvents = setInterval(() => {
      for (const { host } of this.active.values()) void host?.flushEvents()
    }, WRITE_EVENTS_MS)
  }

  /** A place for a run that is about to be accepted; undefined when all are taken, or it is not for this process. */
  reserve(tag: string): { release(): void } | undefined {
    if (this.stopping || this.room <= 0 || !this.parts.tags.includes(tag)) return undefined
    this.reserved++
    return { release: () => this.reserved-- }
  }

  /** Runs that it works on. */
  get size(): number {
    return this.active.size
  }

  /** Runs that it could take now. */
  get room(): number {
    if (this.isOutOfMemory) return 0
    return this.parts.maxActive - this.active.size - this.reserved
  }

  /** True while the values of its runs, and of what waits to be written, leave no memory for more of them. */
  get isOutOfMemory(): boolean {
    return this.memory.isExhausted(this.parts.journal.queuedChars)
  }

  /** Begins to interpret a run that this process owns. */
  start(run: TakenRun): void {
    // By the table it is this claim's, and goes with it to whoever takes over.
    if (this.isLost) return
    const controller = new AbortController()
    const active: Active = { controller, suspect: run.suspect ?? false, held: 0, done: Promise.resolve() }
    this.active.set(run.id, active)
    const watch = (this.parts.telemetry ?? UNMEASURED).taken(run)
    const context = { runId: run.id, requestId: run.requestId, traceId: watch.traceId }
    active.done = inWork(context, () => this.work(run, active, watch))
      .catch((error) => this.giveUp(run, error))
      .then((how) => watch.rests(how))
      .finally(() => {
        this.active.delete(run.id)
        this.memory.release(active.held)
        if (run.concurrencyKey !== undefined)
          this.parts.admissions.ask({ accountId: run.accountId, key: run.concurrencyKey })
        if (this.handed.length > 0) this.claimHandedSoon()
        // The next suspect need not wait for the next look.
        if (this.again || run.suspect || this.active.size === this.parts.maxActive - 1) this.lookForWork()
      })
  }

  /** Aborts a run's steps after its cancel is durable. */
  cancel(runId: string): void {
    this.active.get(runId)?.controller.abort(CANCELLED)
  }

  /** Aborts a run's steps if it is not this process's any more: somebody says so, and hints are not believed. */
  async cancelIfOver(runId: string): Promise<void> {
    if (!this.active.has(runId)) return
    if (!(await isOwned(this.parts.sql, this.parts.owner, runId))) this.cancel(runId)
  }

  /** Writes what a run of this process has not written yet, so that a reader sees it. */
  async writeEventsOf(runId: string): Promise<void> {
    await this.active.get(runId)?.host?.flushEvents()
  }

  /** Runs with these tags have become due. */
  due(tags: Iterable<string>): void {
    const others = new Set(tags)
    const mine = this.room > 0 ? this.parts.tags.filter((tag) => others.delete(tag)) : []
    if (mine.length > 0) this.lookForWork()
    if (others.size > 0) this.parts.handOver.offer(others)
  }

  /** Works on a run that was handed over, if it is still to be had. Resolves when this process has no more to do with it. */
  takeHanded(run: HandedRun): Promise<void> {
    return new Promise((resolve) => {
      this.handed.push({ ...run, settle: resolve })
      this.claimHandedSoon()
    })
  }

  /** Claims due runs until none is due or there is no room. */
  lookForWork(): void {
    if (this.stopping) return
    if (this.claiming !== undefined) {
      this.again = true
      return
    }
    this.claiming = this.inTurn(() => this.claim())
      .catch((error) => this.parts.onError(error))
      .finally(() => {
        this.claiming = undefined
        if (this.again) this.lookForWork()
      })
  }

  /** Takes nothing more, lets runs end for `graceMs`, then hands the rest back to the queue. */
  async stop(graceMs: number): Promise<void> {
    this.stopping = true
    clearInterval(this.look)
    clearInterval(this.writeEvents)
    this.forgetWake()
    this.claimHandedSoon()
    await this.claimingHanded
    await this.lastClaim
    const all = Promise.allSettled([...this.active.values()].map((active) => active.done))
    let grace: NodeJS.Timeout | undefined
    await Promise.race([all, new Promise((resolve) => (grace = setTimeout(resolve, graceMs)))])
    clearTimeout(grace)
    for (const { controller } of this.active.values()) controller.abort(HANDED_BACK)
    await all
  }

  /** The lease is lost: everything stops, and nothing is written. */
  abandon(): void {
    this.stopping = true
    this.isLost = true
    clearInterval(this.look)
    clearInterval(this.writeEvents)
    for (const { controller } of this.active.values()) controller.abort(HANDED_BACK)
    this.claimHandedSoon()
  }

  private async claim(): Promise<void> {
    await this.compare()
    do {
      this.again = false
      const room = Math.min(CLAIM_BATCH, this.room)
      if (room <= 0) break
      const runs = await claimDueRuns(this.parts.sql, this.parts.owner, {
        limit: room,
        now: this.parts.clock.now(),
        tags: this.parts.tags,
        suspects: [...this.active.values()].some(({ suspect }) => suspect) ? 0 : 1,
        lateBefore: this.parts.handOver.lateBefore,
        fresh: !this.parts.handOver.isFedByQueues,
      })
      for (const run of runs) this.start(run)
      if (runs.length === room) this.again = true
    } while (this.again && !this.stopping)
    if (this.room <= 0) this.parts.handOver.offer(this.parts.tags)
    else this.parts.handOver.look()
    if (this.handed.length > 0) this.claimHandedSoon()
    await this.wakeWhenDue()
  }

  /** What comes in this turn of the event loop is claimed together. */
  private claimHandedSoon(): void {
    this.claimingHanded ??= new Promise((resolve) => setImmediate(resolve)).then(async () => {
      this.claimingHanded = undefined
      await this.inTurn(() => this.claimHanded())
    })
  }

  /** Those for which there is no room wait for some, and others take them when they are late. Whoever stops takes none. */
  private async claimHanded(): Promise<void> {
    const { sql, owner, clock, onError } = this.parts
    const handed = this.handed.splice(0, this.stopping ? this.handed.length : Math.max(0, this.room))
    const wanted = this.stopping ? [] : handed
    let claimed: TakenRun[] = []
    try {
      if (wanted.length > 0) claimed = await claimHandedRuns(sql, owner, wanted, clock.now())
    } catch (error) {
      onError(error)
    }
    for (const run of claimed) this.start(run)
    for (const { runId, settle } of handed) settle(this.active.get(runId)?.done)
  }

  private inTurn<T>(claim: () => Promise<T>): Promise<T> {
    const turn = this.lastClaim.then(claim)
    this.lastClaim = turn.catch(() => {})
    return turn
  }

  /**
   * Sets right what was lost on the way: a run that is this process's by the table and that it does not know is taken up, and work on one
   * that is not any more is stopped, whose cancel was not heard of. Part of claiming, for a run whose claim is under way is not known yet.
   */
  private async compare(): Promise<void> {
    const { sql, owner, journal } = this.parts
    if (performance.now() < this.compareAt) return
    this.compareAt = performance.now() + COMPARE_MS
    const before = [...this.active.keys()]
    const owned = new Set(await ownedRunIds(sql, owner))
    for (const id of before) if (!owned.has(id)) this.cancel(id)
    if (this.isLost) return
    const unknown = [...owned].filter((id) => !this.active.has(id) && !journal.holds(id))
    for (const run of await retakeRuns(sql, owner, unknown.slice(0, CLAIM_BATCH))) this.start(run)
  }

  /** The next timer is met on time, not at the next look. */
  private async wakeWhenDue(): Promise<void> {
    const due = await nextDueAt(this.parts.sql)
    this.forgetWake()
    this.forgetWake = () => {}
    if (due && !this.stopping && due.getTime() - this.parts.clock.now().getTime() < LOOK_MS)
      this.forgetWake = this.parts.clock.at(due, () => this.lookForWork())
  }

  private async work(run: TakenRun, active: Active, watch: RunWatch): Promise<Rest> {
    const { transactions } = this
    const { engine, clock, journal, events, supplies } = this.parts
    const [compiled, parts] = await Promise.all([
      supplies.compiled(run.flowId, run.revision),
      supplies.hostParts(run),
      supplies.values?.restore(run),
    ])
    const onError = (error: unknown) => this.parts.onError(error, run.id)
    const hold = (...outcomes: readonly Pick<StepOutcome, 'output' | 'shared'>[]) => {
      const weight = outcomes.reduce((sum, { output, shared }) => sum + weightOf(output, shared), 0)
      active.held += weight
      this.memory.hold(weight)
    }
    hold({ output: run.input }, ...run.history)
    const host = new RunHost(run, {
      hold,
      clock,
      journal,
      transactions,
      events,
      watch,
      children: this.childrenOf(run, watch),
      onError,
      ...parts,
    })
    active.host = host
    const ending = await engine.interpret(
      {
        run: { id: run.id, flowId: run.flowId, tenantId: run.tenantId, accountId: run.accountId, keyBase: run.keyBase },
        ...compiled,
        input: run.input,
        startNode: run.startNode,
        // Handed over: outputs of a large run shall not be held here as well.
        history: run.history.splice(0),
        opened: run.opens,
        resumed: run.lastSeq > 0,
      },
      host,
      active.controller.signal,
    )
    return await this.settle(run, host, ending, active.controller.signal)
  }

  private childrenOf(run: TakenRun, watch: RunWatch): RunChildren {
    return new RunChildren(run, {
      children: this.parts.supplies.children,
      owner: this.parts.owner,
      // One that may be what ends its processes keeps the others of its kind waiting.
      hasRoom: () => this.room > 0 && !run.suspect,
      onStarted: ({ id, tag }) => {
        watch.started(id)
        this.due([tag])
      },
      onCancelled: this.parts.onCancelled,
    })
  }

  /** Whoever waits for this run may go on: in memory here, or out of the queue. */
  private tellParent(run: TakenRun): void {
    if (run.parentId === undefined) return
    this.parts.supplies.children.ended(run.id)
    this.lookForWork()
  }

  /** What cannot be interpreted ends as failed, so that nobody waits for it for ever; unless it is another process's by now. */
  private async giveUp(run: TakenRun, error: unknown): Promise<Rest> {
    if (error instanceof LeaseLost) return 'stopped'
    if (isDatabaseGone(error)) {
      // No fault of the run's. By the table it stays with this process, which takes it up again once the database answers.
      this.parts.onError(error, run.id)
      return 'stopped'
    }
    const known = error instanceof RevisionUnusable || error instanceof ValueUnavailable
    const code = error instanceof ValueUnavailable ? 'value_unavailable' : 'internal'
    if (!known) this.parts.onError(error, run.id)
    const message = known ? error.message : 'the run could not be carried on because of an internal error'
    const ending: Ending = { state: 'failed', error: { message, code }, finishedAt: this.parts.clock.now() }
    try {
      const ended = await this.parts.journal.finish(run.id, run.epoch, ending, [], { parentId: run.parentId })
      this.tellParent(run)
      this.parts.events.published(run.id)
      return ended ? 'failed' : 'stopped'
    } catch (failure) {
      if (!(failure instanceof LeaseLost)) this.parts.onError(failure, run.id)
      return 'stopped'
    }
  }

  private async settle(run: TakenRun, host: RunHost, ending: RunEnding, signal: AbortSignal): Promise<Rest> {
    const { journal, events, clock } = this.parts
    let how: Rest = 'stopped'
    if (ending.state === 'parked' || (ending.state === 'cancelled' && signal.reason === HANDED_BACK)) {
      const parked = ending.state === 'parked'
      await host.flushEvents()
      await journal.write({
        kind: 'release',
        runId: run.id,
        epoch: run.epoch,
        state: parked ? 'waiting' : 'queued',
        wakeAt: parked ? host.wakeAt : clock.now(),
      })
      how = parked ? 'parked' : 'handed back'
      if (parked) this.lookForWork()
    } else if (ending.state === 'cancelled') {
      await host.flushEvents()
    } else {
      // Its log is whole before anyone sees it ended.
      const lastEvents = await host.lastEvents()
      const ended = await journal.finish(run.id, run.epoch, toEnding(ending, clock.now()), lastEvents, run)
      if (ended) how = ending.state
      this.tellParent(run)
      crashPoint('finish')
    }
    events.published(run.id)
    return how
  }
}

function toEnding(ending: Extract<RunEnding, { state: 'completed' | 'failed' }>, finishedAt: Date): Ending {
  if (ending.state === 'completed') return { state: 'completed', result: ending.result, finishedAt }
  return { state: 'failed', error: withoutOutput(ending.error), finishedAt }
}

/** What a failed step had produced is in its outcome; the run's error is its words. */
function withoutOutput({ output: _, ...error }: FlowError): JsonObject {
  return Object.fromEntries(Object.entries(error).filter(([, value]) => value !== undefined))
}
