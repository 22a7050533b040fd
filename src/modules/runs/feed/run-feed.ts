import { setTimeout as delay } from 'node:timers/promises'
import { Injectable, type OnApplicationShutdown } from '@nestjs/common'
import { Sql } from '../../../platform/database/sql.js'
import { RunEvents } from '../events/run-events.js'
import { InvalidCursor, StaleCursor } from './feed.errors.js'
import { FeedQueries } from './feed.queries.js'
import { eventsOf, type FeedEvent, idBehind, positionOf } from './feed-events.js'
import { Horizon } from './horizon.js'

/** How often what is watched is looked at without a hint: for all accounts in one statement. */
const LOOK_MS = 3_000
/** Between attempts while the database is away. */
const RETRY_MS = 250

export interface FeedFilter {
  runId?: string
  /** Of any of these flows. */
  flowIds?: readonly string[]
}

interface Watched {
  /** The last position that a look has seen. */
  seen: number
  wakes: Set<() => void>
}

/**
 * The events of all runs of an account as one sequence, whichever processes run them: each once, in one order, with ids that stay. It is
 * read from the tables; one pump for all who follow here finds out how far the sequence is settled, and wakes those whose accounts have
 * something new. Who follows holds one page of chunks, however slow it is, and those at the same place share its reading.
 */
@Injectable()
export class RunFeed implements OnApplicationShutdown {
  private readonly queries: FeedQueries
  private readonly horizon: Horizon
  private readonly watched = new Map<string, Watched>()
  private readonly stopping = new AbortController()
  private settled = 0
  private changed = new Set<string>()
  private pumping = false
  private looking?: NodeJS.Timeout

  constructor(
    sql: Sql,
    private readonly events: RunEvents,
  ) {
    this.queries = new FeedQueries(sql)
    this.horizon = new Horizon(sql)
    events.accounts.onChange = (accountId) => this.pump(accountId)
  }

  /**
   * The id behind which to go on, from the one that was received last. Throws where that is none, is not given out yet, or where events
   * behind it were removed.
   */
  async after(accountId: string, lastId: string): Promise<number> {
    const id = /^\d{1,15}$/.test(lastId) ? Number(lastId) : Number.NaN
    if (Number.isNaN(id)) throw new InvalidCursor('A cursor is the id of an event, a whole number')
    if (positionOf(id) > (await this.horizon.last())) throw new InvalidCursor('This cursor is the id of no event yet')
    if (positionOf(id) < (await this.queries.pruned(accountId))) throw new StaleCursor()
    return id
  }

  /** The id behind which everything comes that happens from now on. */
  async now(): Promise<number> {
    return idBehind(await this.horizon.last())
  }

  /** Pages of events behind an id, until `signal` aborts; of one run, until its end was told. */
  async *follow(
    accountId: string,
    filter: FeedFilter,
    after: number,
    signal: AbortSignal,
  ): AsyncGenerator<FeedEvent[]> {
    const { runId, flowIds } = filter
    const watcher = this.join(accountId, signal)
    let from = positionOf(after)
    try {
      for (;;) {
        await watcher.change()
        if (signal.aborted) return
        const until = this.settled
        for (let more = true; more && !signal.aborted; ) {
          const page = await this.queries.chunks({ accountId, runId, from, until })
          const events = page.chunks.flatMap(eventsOf).filter((event) => event.id > after && isOf(event, flowIds))
          from = page.last + 1
          more = page.more
          if (events.length > 0) yield events
          if (runId !== undefined && events.some(({ type }) => type === 'finished')) return
        }
        if (runId !== undefined && (await this.queries.isTold(runId, from))) return
      }
    } finally {
      watcher.leave()
    }
  }

  /** Streams of this process. */
  get followers(): number {
    return [...this.watched.values()].reduce((sum, { wakes }) => sum + wakes.size, 0)
  }

  onApplicationShutdown(): void {
    this.stopping.abort()
    clearInterval(this.looking)
  }

  private join(accountId: string, signal: AbortSignal) {
    let changed = false
    let resolve = () => {}
    const wake = () => {
      changed = true
      resolve()
    }
    const watched = this.watched.get(accountId) ?? { seen: 0, wakes: new Set() }
    watched.wakes.add(wake)
    this.watched.set(accountId, watched)
    this.looking ??= setInterval(() => void this.look(), LOOK_MS)
    const leaveAccount = this.events.accounts.watch(accountId)
    signal.addEventListener('abort', wake, { once: true })
    this.pump(accountId)
    return {
      change: async () => {
        if (!changed && !signal.aborted)
          await new Promise<void>((resolved) => {
            resolve = resolved
          })
        changed = false
      },
      leave: () => {
        signal.removeEventListener('abort', wake)
        leaveAccount()
        watched.wakes.delete(wake)
        if (watched.wakes.size === 0 && this.watched.get(accountId) === watched) this.watched.delete(accountId)
        if (this.watched.size > 0) return
        clearInterval(this.looking)
        this.looking = undefined
      },
    }
  }

  /** Has those who follow this account read on, once what is there now is settled. */
  private pump(accountId: string): void {
    this.changed.add(accountId)
    if (this.pumping) return
    this.pumping = true
    void this.pumpAll().finally(() => {
      this.pumping = false
    })
  }

  private async pumpAll(): Promise<void> {
    const { signal } = this.stopping
    while (this.changed.size > 0 && !signal.aborted) {
      const accounts = this.changed
      this.changed = new Set()
      try {
        this.settled = Math.max(this.settled, await this.horizon.settle(signal))
        for (const id of accounts) this.wake(id)
      } catch {
        // While the database is away nothing is new, and whoever follows waits for it.
        for (const id of accounts) if (this.watched.has(id)) this.changed.add(id)
        await delay(RETRY_MS, undefined, { signal }).catch(() => {})
      }
    }
  }

  private wake(accountId: string): void {
    for (const wake of this.watched.get(accountId)?.wakes ?? []) wake()
  }

  /** Finds what no hint told of. */
  private async look(): Promise<void> {
    const latest = await this.queries.latest([...this.watched.keys()]).catch(() => [])
    for (const { id, position } of latest) {
      const watched = this.watched.get(id)
      if (!watched || watched.seen === position) continue
      watched.seen = position
      this.pump(id)
    }
  }
}

function isOf(event: FeedEvent, flowIds: readonly string[] | undefined): boolean {
  return flowIds === undefined || flowIds.includes(event.flowId)
}
