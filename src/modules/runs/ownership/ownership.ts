import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from 'pg'
import { LOCKS } from '../../../platform/database/advisory-locks.js'
import type { Sql, Statement } from '../../../platform/database/sql.js'
import { newId } from '../../../platform/ids.js'
import type { Writer } from '../journal/records.js'
import { FORGET } from './reaper.js'

const LEASE_SECONDS = 15
const RENEW_MS = 4_000
/** This process holds its lease for over so much before others do: clocks run unevenly, and what it has just sent arrives a little later. */
const MARGIN_MS = 1_000
/** How long the connection of a claim that is over may take to close. */
const CLOSE_MS = 1_000
/** Between attempts to come back after the connection was lost. */
const RECONNECT_MS = 250

/** The queues that a process takes runs from, and how many runs it has places for. */
export interface QueuePlaces {
  tags: readonly string[]
  capacity: number
}

export const NO_PLACES: QueuePlaces = { tags: [], capacity: 0 }

export interface OwnershipEvents {
  /** Another process may own what this one runs: stop, and write nothing more. */
  onLost(): void
  onError(error: unknown): void
}

/**
 * This process's claim to the runs it works on: a row with a lease by the database's clock, and a session lock that goes with its
 * connection. `kill -9` closes the connection, so others see the lock free within a second; the lease covers a frozen process or a cut
 * network. Whoever finds a lost instance declares it lost under the fence, then puts its runs back in the queue.
 *
 * A process that was frozen or cut off cannot know whether that has happened. Its own monotonic clock tells it when it may have, a little
 * before it can: from then on `holds` is false and the claim is over, whatever the database would say.
 */
export class Ownership {
  /** The lease connection; absent while a new one is on its way. */
  private client?: Client
  private coming?: Client
  private renewal?: NodeJS.Timeout
  private renewing = false
  private expiry?: NodeJS.Timeout
  /** Lost or released: nothing is renewed or taken again. */
  private over = false

  private constructor(
    private readonly sql: Sql,
    private readonly events: OwnershipEvents,
    readonly writer: Writer,
    /** When the lease was asked for last, of those times that it was given; by `performance.now()`. */
    private renewedAt: number,
  ) {}

  static async take(sql: Sql, events: OwnershipEvents, places = NO_PLACES): Promise<Ownership> {
    const client = sql.client('millrace lease')
    try {
      await client.connect()
      const asked = performance.now()
      const ownership = new Ownership(sql, events, await enter(client, places), asked)
      ownership.watch(client)
      ownership.expire()
      return ownership
    } catch (error) {
      await client.end().catch(() => {})
      throw error
    }
  }

  /** False once others may have what this process runs. To be asked before anything is sent or begun that would be wrong then. */
  get holds(): boolean {
    return !this.over && this.leaseMs > MARGIN_MS
  }

  /** Until others may take this instance for lost. */
  get leaseSeconds(): number {
    return this.leaseMs / 1_000
  }

  /** Nobody shall count on its places any more. */
  async withdraw(): Promise<void> {
    await this.sql.query(WITHDRAW, [this.writer.id]).catch((error) => this.events.onError(error))
  }

  /** Leaves in good order: with everything handed back there is nothing for others to reap. */
  async release(): Promise<void> {
    const isLost = this.over
    this.over = true
    this.stopTimers()
    const { client, coming } = this
    this.client = undefined
    if (coming !== client) coming?.end().catch(() => {})
    // Where this fails, or the connection is away, the row stays: others find it without its lock and remove it.
    const farewell = async () => {
      if (!isLost) await client?.query(FORGET.text, [this.writer.id])
      await client?.end()
    }
    await Promise.race([farewell().catch(() => {}), delay(CLOSE_MS, undefined, { ref: false })])
    // One that does not answer is cut.
    client?.end().catch(() => {})
  }

  private get leaseMs(): number {
    return this.renewedAt + LEASE_SECONDS * 1_000 - performance.now()
  }

  private watch(client: Client): void {
    // A connection that is cut says so twice, and the second time may come when another has taken its place.
    client.on('error', (error) => {
      if (client === this.client) void this.reconnect(error)
    })
    this.client = client
    this.renewal = setInterval(() => void this.renew(), RENEW_MS)
  }

  /** Ends the claim when no renewal was confirmed in time. */
  private expire(): void {
    if (this.holds) this.expiry = setTimeout(() => this.expire(), this.leaseMs - MARGIN_MS)
    else this.declareLost()
  }

  private async renew(): Promise<void> {
    if (!this.holds) return this.declareLost()
    if (this.renewing) return
    this.renewing = true
    try {
      const asked = performance.now()
      const renewed = await this.client?.query(RENEW, [this.writer.id, LEASE_SECONDS])
      if (renewed?.rowCount === 0) this.declareLost()
      else if (renewed) this.renewedAt = asked
    } catch (error) {
      this.events.onError(error)
    } finally {
      this.renewing = false
    }
  }

  /** The lock went with the connection. It is taken again if nobody noticed; otherwise this instance is over. */
  private async reconnect(error: unknown): Promise<void> {
    if (!this.client || this.over) return
    this.client = undefined
    clearInterval(this.renewal)
    this.events.onError(error)
    while (!this.over) {
      const client = this.sql.client('millrace lease')
      this.coming = client
      try {
        await client.connect()
        await client.query('select pg_advisory_lock($1, $2)', [LOCKS.alive, this.writer.fence])
        const asked = performance.now()
        const { rowCount } = await client.query(RENEW, [this.writer.id, LEASE_SECONDS])
        if (rowCount !== 0 && !this.over) {
          this.renewedAt = asked
          return this.watch(client)
        }
        await client.end()
        return this.declareLost()
      } catch {
        // The error that began this was told; the database stays away, or this instance is being released.
        await client.end().catch(() => {})
        if (!this.over) await delay(RECONNECT_MS)
      }
    }
  }

  private declareLost(): void {
    if (this.over) return
    this.over = true
    this.stopTimers()
    this.events.onLost()
  }

  private stopTimers(): void {
    clearInterval(this.renewal)
    clearTimeout(this.expiry)
  }
}

/** Others see the row only once the lock is held, or they would take this instance for lost. */
async function enter(client: Client, { tags, capacity }: QueuePlaces): Promise<Writer> {
  const id = newId('engine')
  await client.query('begin')
  const { rows } = await client.query<{ fence: number }>(
    `insert into engine_instance (id, host, pid, lease_until, tags, capacity)
      values ($1, $2, $3, now() + make_interval(secs => $4), $5, $6) returning fence`,
    [id, hostname(), process.pid, LEASE_SECONDS, tags, capacity],
  )
  const fence = (rows[0] as { fence: number }).fence
  await client.query('select pg_advisory_lock($1, $2)', [LOCKS.alive, fence])
  await client.query('commit')
  return { id, fence }
}

const WITHDRAW: Statement = {
  name: 'engine_withdraw',
  text: `update engine_instance set tags = '{}', capacity = 0 where id = $1 and capacity > 0`,
}

const RENEW =
  'update engine_instance set lease_until = now() + make_interval(secs => $2) where id = $1 and lost_at is null'
