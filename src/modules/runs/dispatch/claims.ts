import type { Clock } from '../../../platform/clock/clock.js'
import type { Sql } from '../../../platform/database/sql.js'
import type { Places, Quota } from '../../../platform/fairness/places.js'
import type { Journal } from '../journal/journal.js'
import type { Writer } from '../journal/records.js'
import type { ActiveRun } from '../worker/active-run.js'
import {
  type Claim,
  claimDueRuns,
  type HandedRun,
  MOST_WOKEN,
  nextDueAt,
  ownedRunIds,
  retakeRuns,
  type TakenRun,
  waitingAccounts,
} from '../worker/taken-run.js'
import type { HandOver } from './hand-over.js'

const CLAIM_BATCH = 100
/** After so many of these, others that claim have their turn, however much waits. */
const MOST_PASSES = 20
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
  /** The places that it has for runs. */
  places: Places
  isOutOfMemory(): boolean
  start(run: TakenRun): void
  onError(error: unknown): void
}

/** Later than any hand-over. */
const NEVER = new Date('9999-12-31T00:00:00Z')

/** A run of this tag that this process was told of, until it is settled what comes of it here. */
interface Handed extends HandedRun {
  tag: string
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
  /** The account that had the last turn. */
  private lastTurn = ''
  private compareAt = 0
  private forgetWake = () => {}
  private readonly look: NodeJS.Timeout

  constructor(private readonly parts: ClaimsParts) {
    this.look = setInterval(() => this.lookForWork(), LOOK_MS)
  }

  /** There was less room than runs to claim. */
  get isWaiting(): boolean {
    const { places, handOver } = this.parts
    return this.again || places.owesSpare || (places.isContended && !handOver.isFedByQueues)
  }

  /** A queue tells of a run. Resolves when this process has no more to do with what it took for it. */
  takeHanded(tag: string, run: HandedRun): Promise<void> {
    return new Promise((resolve) => {
      this.handed.push({ ...run, tag, settle: resolve })
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
    const { places, handOver, tags } = this.parts
    let isMore = true
    for (let passes = 0; isMore && passes < MOST_PASSES && !this.stopping; passes++) {
      this.again = false
      isMore = await this.claimSome()
    }
    if (isMore) this.again = true
    if (places.room === 0 || this.parts.isOutOfMemory()) handOver.offer(tags)
    else handOver.look()
    if (this.handed.length > 0) this.claimHandedSoon()
    await this.wakeWhenDue()
  }

  /** False when nothing is left to be claimed, or no place. */
  private async claimSome(): Promise<boolean> {
    const { sql, clock, owner, places, handOver, tags, start } = this.parts
    const { accounts, woken } = await waitingAccounts(sql, tags, this.lastTurn, clock.now())
    places.wait(accounts)
    const quotas = this.quotas(accounts)
    const hasPlaces = places.room > 0 && !this.parts.isOutOfMemory()
    const suspects = hasPlaces && ![...this.parts.active.values()].some(({ run }) => run.suspect) ? 1 : 0
    if (quotas.length === 0 && suspects === 0) return woken === MOST_WOKEN
    // What comes by a queue finds no way in while all usual places are taken.
    const isFed = hasPlaces && handOver.isFedByQueues
    const runs = await claimDueRuns(sql, owner, {
      quotas,
      now: clock.now(),
      tags,
      suspects,
      lateBefore: hasPlaces ? handOver.lateBefore : NEVER,
      fresh: !isFed,
    })
    for (const run of runs) start(run)
    const [only, other] = quotas
    const isLast = accounts.length < 2 && other === undefined && runs.length < (only?.quota ?? 1)
    if (isLast && !isFed) places.wait([])
    return woken === MOST_WOKEN || (runs.length > 0 && !isLast)
  }

  /** Whose runs are taken next; whoever gets the last place of these has had its turn. */
  private quotas(accounts: readonly string[], atMost = CLAIM_BATCH): Quota[] {
    if (this.parts.isOutOfMemory()) return []
    const quotas = this.parts.places.quotas(accounts, atMost)
    this.lastTurn = quotas.at(-1)?.account ?? this.lastTurn
    return quotas
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
    const room = this.parts.isOutOfMemory() ? 0 : this.parts.places.room
    const handed = this.handed.splice(0, this.stopping ? this.handed.length : room)
    for (const [tag, told] of Map.groupBy(handed, (run) => run.tag)) {
      const claimed: TakenRun[] = []
      try {
        await this.claimFor(tag, told, claimed)
      } catch (error) {
        this.parts.onError(error)
      }
      for (const [index, { settle }] of told.entries()) settle(this.parts.active.get(claimed[index]?.id ?? '')?.done)
    }
  }

  /**
   * As many runs of this tag as a queue told of, in turns like all others: which these were does not matter. Accounts that had fewer than
   * they might have had leave places, which go around once more.
   */
  private async claimFor(tag: string, told: readonly HandedRun[], claimed: TakenRun[]): Promise<void> {
    const { sql, owner, clock, places, start } = this.parts
    while (claimed.length < told.length && !this.stopping) {
      const { accounts } = await waitingAccounts(sql, [tag], this.lastTurn, clock.now())
      const quotas = this.quotas(accounts, Math.min(told.length - claimed.length, places.room))
      if (quotas.length === 0) return
      const claim: Claim = { quotas, now: clock.now(), tags: [tag], suspects: 0, lateBefore: NEVER, fresh: true, told }
      const runs = await claimDueRuns(sql, owner, claim)
      for (const run of runs) start(run)
      claimed.push(...runs)
      if (runs.length === 0) return
    }
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
