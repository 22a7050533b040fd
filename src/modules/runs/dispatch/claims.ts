import type { Clock } from '../../../platform/clock/clock.js'
import type { Sql } from '../../../platform/database/sql.js'
import type { Journal } from '../journal/journal.js'
import type { Writer } from '../journal/records.js'
import type { ActiveRun } from '../worker/active-run.js'
import {
  claimDueRuns,
  claimHandedRuns,
  type HandedRun,
  nextDueAt,
  ownedRunIds,
  retakeRuns,
  type TakenRun,
} from '../worker/taken-run.js'
import type { HandOver } from './hand-over.js'

const CLAIM_BATCH = 100
/** How often the queue is looked at without a hint. */
const LOOK_MS = 1_000
/** How often this process compares what it works on with what is its own by the table. */
const COMPARE_MS = 2_000

export interface ClaimsParts {
  sql: Sql
  clock: Clock
  journal: Journal
  owner: Writer
  /** The tags of the runs that it takes. */
  tags: readonly string[]
  handOver: HandOver
  /** What this process works on, by run. */
  active: ReadonlyMap<string, ActiveRun>
  /** Runs that it could take now. */
  room(): number
  start(run: TakenRun): void
  onError(error: unknown): void
}

/** A run that this process was handed, until it is settled what becomes of it here. */
interface Handed extends HandedRun {
  settle(work?: Promise<void>): void
}

/**
 * How runs come to this process: out of the table once they are due, by way of a queue, or because they were its own all along. Claims
 * follow one another: what one has under way, the next does not know of.
 */
export class Claims {
  private stopping = false
  private isLost = false
  private claiming?: Promise<void>
  private again = false
  private readonly handed: Handed[] = []
  private claimingHanded?: Promise<void>
  private lastClaim: Promise<unknown> = Promise.resolve()
  private compareAt = 0
  private forgetWake = () => {}
  private readonly look: NodeJS.Timeout

  constructor(private readonly parts: ClaimsParts) {
    this.look = setInterval(() => this.lookForWork(), LOOK_MS)
  }

  /** There was less room than runs to claim. */
  get isWaiting(): boolean {
    return this.again
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

  /** A place has become free, for those that were handed over. */
  goOn(): void {
    if (this.handed.length > 0) this.claimHandedSoon()
  }

  /** Claims nothing more. Resolves when what is under way is claimed; what was handed over is let go. */
  async stop(): Promise<void> {
    this.end()
    this.claimHandedSoon()
    await this.claimingHanded
    await this.lastClaim
  }

  /** The lease is lost: what is still claimed under it is not begun. */
  abandon(): void {
    this.isLost = true
    this.end()
  }

  private end(): void {
    this.stopping = true
    clearInterval(this.look)
    this.forgetWake()
  }

  private async claim(): Promise<void> {
    await this.compare()
    do {
      this.again = false
      const room = Math.min(CLAIM_BATCH, this.parts.room())
      if (room <= 0) break
      const runs = await claimDueRuns(this.parts.sql, this.parts.owner, {
        limit: room,
        now: this.parts.clock.now(),
        tags: this.parts.tags,
        suspects: [...this.parts.active.values()].some(({ run }) => run.suspect) ? 0 : 1,
        lateBefore: this.parts.handOver.lateBefore,
        fresh: !this.parts.handOver.isFedByQueues,
      })
      for (const run of runs) this.parts.start(run)
      if (runs.length === room) this.again = true
    } while (this.again && !this.stopping)
    if (this.parts.room() <= 0) this.parts.handOver.offer(this.parts.tags)
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
    const handed = this.handed.splice(0, this.stopping ? this.handed.length : Math.max(0, this.parts.room()))
    const wanted = this.stopping ? [] : handed
    let claimed: TakenRun[] = []
    try {
      if (wanted.length > 0) claimed = await claimHandedRuns(sql, owner, wanted, clock.now())
    } catch (error) {
      onError(error)
    }
    for (const run of claimed) this.parts.start(run)
    for (const { runId, settle } of handed) settle(this.parts.active.get(runId)?.done)
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
    const { sql, owner, journal, active, start } = this.parts
    if (performance.now() < this.compareAt) return
    this.compareAt = performance.now() + COMPARE_MS
    const before = [...active.values()]
    const owned = new Set(await ownedRunIds(sql, owner))
    for (const one of before) if (!owned.has(one.run.id)) one.cancel()
    if (this.isLost) return
    const unknown = [...owned].filter((id) => !active.has(id) && !journal.holds(id))
    for (const run of await retakeRuns(sql, owner, unknown.slice(0, CLAIM_BATCH))) start(run)
  }

  /** The next timer is met on time, not at the next look. */
  private async wakeWhenDue(): Promise<void> {
    const due = await nextDueAt(this.parts.sql)
    this.forgetWake()
    this.forgetWake = () => {}
    if (due && !this.stopping && due.getTime() - this.parts.clock.now().getTime() < LOOK_MS)
      this.forgetWake = this.parts.clock.at(due, () => this.lookForWork())
  }
}
