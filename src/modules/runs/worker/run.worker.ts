import type { Sql } from '../../../platform/database/sql.js'
import { Places } from '../../../platform/fairness/places.js'
import type { Admissions } from '../dispatch/admissions.js'
import { Claims } from '../dispatch/claims.js'
import type { HandOver } from '../dispatch/hand-over.js'
import { StepTransactions } from '../host/step-transactions.js'
import { type RunTelemetry, UNMEASURED } from '../telemetry/run-telemetry.js'
import { ActiveRun, type ActiveRunParts } from './active-run.js'
import { MemoryBudget } from './memory-budget.js'
import { type HandedRun, isOwned, type TakenRun } from './taken-run.js'

/** How long events may stay unwritten while a run goes on. */
const WRITE_EVENTS_MS = 1_000

export interface WorkerParts
  extends Pick<
    ActiveRunParts,
    'clock' | 'engine' | 'journal' | 'events' | 'supplies' | 'owner' | 'onCancelled' | 'onError'
  > {
  sql: Sql
  telemetry?: RunTelemetry
  /** The tags of the runs that it takes. */
  tags: readonly string[]
  /** Runs that it works on at the same time; the rest is for others, or waits. */
  maxActive: number
  handOver: HandOver
  admissions: Admissions
  memory?: MemoryBudget
}

/**
 * The runs that this process works on. A run comes in by being accepted here or by being claimed, and goes out by ending, by being parked
 * on a wait, or by being handed back when the process stops.
 */
export class RunWorker {
  private readonly active = new Map<string, ActiveRun>()
  private readonly claims: Claims
  private readonly activeParts: ActiveRunParts
  private readonly memory: MemoryBudget
  private readonly places: Places
  private stopping = false
  private isLost = false
  private readonly writeEvents: NodeJS.Timeout

  constructor(private readonly parts: WorkerParts) {
    this.memory = parts.memory ?? new MemoryBudget()
    this.places = new Places(parts.maxActive)
    this.activeParts = {
      ...parts,
      transactions: new StepTransactions(parts.sql, parts.owner, parts.supplies.values),
      memory: this.memory,
      hasRoom: () => this.room > 0,
      onDue: (tags) => this.due(tags),
      onWoken: () => this.lookForWork(),
    }
    this.claims = new Claims({
      ...parts,
      active: this.active,
      places: this.places,
      isOutOfMemory: () => this.isOutOfMemory,
      start: (run) => this.start(run),
    })
    this.writeEvents = setInterval(() => {
      for (const run of this.active.values()) void run.flushEvents()
    }, WRITE_EVENTS_MS)
  }

  /** A place for a run that is about to be accepted; undefined when others have a right to it, or it is not for this process. */
  reserve(tag: string, accountId: string): { release(): void } | undefined {
    if (this.stopping || !this.parts.tags.includes(tag)) return undefined
    if (this.isOutOfMemory || !this.places.mayTake(accountId)) return undefined
    this.places.take(accountId)
    return { release: () => this.places.leave(accountId) }
  }

  /** Runs that it works on. */
  get size(): number {
    return this.active.size
  }

  /** Runs that it could take now. */
  get room(): number {
    return this.isOutOfMemory ? 0 : this.places.room
  }

  /** True while the values of its runs, and of what waits to be written, leave no memory for more of them. */
  get isOutOfMemory(): boolean {
    return this.memory.isExhausted(this.parts.journal.queuedChars)
  }

  /** Begins to interpret a run that this process owns. */
  start(run: TakenRun): void {
    // By the table it is this claim's, and goes with it to whoever takes over.
    if (this.isLost) return
    const active = new ActiveRun(run, this.activeParts, (this.parts.telemetry ?? UNMEASURED).taken(run))
    this.active.set(run.id, active)
    this.places.take(run.accountId)
    void active.done.then(() => this.rested(run))
  }

  /** Aborts a run's steps after its cancel is durable. */
  cancel(runId: string): void {
    this.active.get(runId)?.cancel()
  }

  /** Aborts a run's steps if it is not this process's any more: somebody says so, and hints are not believed. */
  async cancelIfOver(runId: string): Promise<void> {
    if (!this.active.has(runId)) return
    if (!(await isOwned(this.parts.sql, this.parts.owner, runId))) this.cancel(runId)
  }

  /** Writes what a run of this process has not written yet, so that a reader sees it. */
  async writeEventsOf(runId: string): Promise<void> {
    await this.active.get(runId)?.flushEvents()
  }

  /** Runs with these tags have become due; of this account, where that is known. */
  due(tags: Iterable<string>, accountId?: string): void {
    const due = new Set(tags)
    const mine = this.parts.tags.filter((tag) => due.has(tag))
    if (mine.length > 0 && accountId !== undefined) this.places.waits(accountId)
    if (mine.length > 0 && (this.room > 0 || this.places.owesSpare)) {
      for (const tag of mine) due.delete(tag)
      this.lookForWork()
    }
    if (due.size > 0) this.parts.handOver.offer(due)
  }

  /** Works on the run whose turn it is, since a queue told of one. Resolves when this process has no more to do with it. */
  takeHanded(tag: string, run: HandedRun): Promise<void> {
    return this.claims.takeHanded(tag, run)
  }

  /** Claims due runs until none is due or there is no room. */
  lookForWork(): void {
    this.claims.lookForWork()
  }

  /** Takes nothing more, lets runs end for `graceMs`, then hands the rest back to the queue. */
  async stop(graceMs: number): Promise<void> {
    this.stopping = true
    clearInterval(this.writeEvents)
    await this.claims.stop()
    const all = Promise.all([...this.active.values()].map(({ done }) => done))
    let grace: NodeJS.Timeout | undefined
    await Promise.race([all, new Promise((resolve) => (grace = setTimeout(resolve, graceMs)))])
    clearTimeout(grace)
    for (const run of this.active.values()) run.handBack()
    await all
  }

  /** The lease is lost: everything stops, and nothing is written. */
  abandon(): void {
    this.stopping = true
    this.isLost = true
    clearInterval(this.writeEvents)
    this.claims.abandon()
    for (const run of this.active.values()) run.handBack()
  }

  private rested({ id, concurrencyKey: key, accountId, suspect }: TakenRun): void {
    this.active.delete(id)
    this.places.leave(accountId)
    if (key !== undefined) this.parts.admissions.ask({ accountId, key })
    this.claims.goOn()
    // The next suspect need not wait for the next look.
    if (this.claims.isWaiting || suspect || this.active.size === this.parts.maxActive - 1) this.lookForWork()
  }
}
