import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from 'pg'
import { crashPoint } from '../../platform/crash-point/crash-point.js'
import { LOCKS } from '../../platform/database/advisory-locks.js'
import type { Sql, Statement } from '../../platform/database/sql.js'
import { newId } from '../../platform/ids.js'
import type { Writer } from './journal/records.js'

const LEASE_SECONDS = 15
const RENEW_MS = 4_000
const REAP_MS = 1_000
/** Between attempts to come back after the connection was lost. */
const RECONNECT_MS = 250
const REQUEUE_BATCH = 500

export interface OwnershipEvents {
  /** Another process may own what this one runs: stop, and write nothing more. */
  onLost(): void
  /** Another instance was lost; so many runs of its went back to the queue. */
  onTakeover?(runs: number): void
  onError(error: unknown): void
}

/**
 * This process's claim to the runs it works on: a row with a lease by the database's clock, and a session lock that goes with its
 * connection. `kill -9` closes the connection, so others see the lock free within a second; the lease covers a frozen process or a cut
 * network. Whoever finds a lost instance declares it lost under the fence, then puts its runs back in the queue.
 */
export class Ownership {
  /** The lease connection; absent while a new one is on its way. */
  private client?: Client
  private coming?: Client
  private renewal?: NodeJS.Timeout
  private reaping?: NodeJS.Timeout
  /** When the lease was last taken or renewed, by `performance.now()`. */
  private renewedAt = performance.now()
  /** Lost or released: nothing is renewed or taken again. */
  private over = false

  private constructor(
    private readonly sql: Sql,
    private readonly events: OwnershipEvents,
    readonly writer: Writer,
  ) {}

  static async take(sql: Sql, events: OwnershipEvents): Promise<Ownership> {
    const client = sql.client('millrace lease')
    await client.connect()
    const id = newId('engine')
    // Others see the row only once the lock is held, or they would take this instance for lost.
    await client.query('begin')
    const { rows } = await client.query<{ fence: number }>(
      `insert into engine_instance (id, host, pid, lease_until)
        values ($1, $2, $3, now() + make_interval(secs => $4)) returning fence`,
      [id, hostname(), process.pid, LEASE_SECONDS],
    )
    const fence = (rows[0] as { fence: number }).fence
    await client.query('select pg_advisory_lock($1, $2)', [LOCKS.alive, fence])
    await client.query('commit')
    const ownership = new Ownership(sql, events, { id, fence })
    ownership.watch(client)
    return ownership
  }

  /** Takes over from every instance that is lost. Returns how many runs went back to the queue. */
  async reap(): Promise<number> {
    const lost = await this.sql.query<{ id: string; fence: number }>(FIND_LOST, [this.writer.id])
    let released = 0
    for (const instance of lost) released += await this.takeOver(instance)
    return released
  }

  /** Until others may take this instance for lost. */
  get leaseSeconds(): number {
    return LEASE_SECONDS - (performance.now() - this.renewedAt) / 1000
  }

  /** Leaves in good order: everything handed back, nothing for others to reap. */
  async release(): Promise<void> {
    this.over = true
    this.stopTimers()
    const { client, coming } = this
    this.client = undefined
    // Where this fails, or the connection is away, the row stays: others find it without its lock and remove it.
    await client?.query(FORGET.text, [this.writer.id]).catch(() => {})
    await client?.end().catch(() => {})
    if (coming !== client) coming?.end().catch(() => {})
  }

  private watch(client: Client): void {
    client.on('error', (error) => void this.reconnect(error))
    this.client = client
    this.renewal = setInterval(() => void this.renew(), RENEW_MS)
    this.reaping = setInterval(() => void this.reap().catch((error) => this.events.onError(error)), REAP_MS)
  }

  private async renew(): Promise<void> {
    try {
      const asked = performance.now()
      const renewed = await this.client?.query(RENEW, [this.writer.id, LEASE_SECONDS])
      if (renewed?.rowCount === 0) this.declareLost()
      else if (renewed) this.renewedAt = asked
    } catch (error) {
      this.events.onError(error)
    }
  }

  /** The lock went with the connection. It is taken again if nobody noticed; otherwise this instance is over. */
  private async reconnect(error: unknown): Promise<void> {
    if (!this.client || this.over) return
    this.client = undefined
    this.stopTimers()
    this.events.onError(error)
    while (!this.over) {
      const client = this.sql.client('millrace lease')
      this.coming = client
      try {
        await client.connect()
        await client.query('select pg_advisory_lock($1, $2)', [LOCKS.alive, this.writer.fence])
        const asked = performance.now()
        const { rowCount } = await client.query(RENEW, [this.writer.id, LEASE_SECONDS])
        if (rowCount !== 0) {
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
    clearInterval(this.reaping)
  }

  /** Under the exclusive fence no flush of that instance is under way, and each later one sees that it is lost. */
  private async takeOver(instance: { id: string; fence: number }): Promise<number> {
    await this.sql.query(DECLARE_LOST, [instance.id, instance.fence])
    crashPoint('takeover')
    let released = 0
    for (;;) {
      const batch = await this.sql.query(REQUEUE, [instance.id])
      released += batch.length
      if (batch.length < REQUEUE_BATCH) break
    }
    await this.sql.query(FORGET, [instance.id])
    this.events.onTakeover?.(released)
    return released
  }
}

const RENEW =
  'update engine_instance set lease_until = now() + make_interval(secs => $2) where id = $1 and lost_at is null'

/** Lost: its lease ran out, or nobody holds its session lock. */
const FIND_LOST: Statement = {
  name: 'engine_find_lost',
  text: `select id, fence from engine_instance e
    where id <> $1 and (lost_at is not null or lease_until < now() or not exists (
      select 1 from pg_locks l where l.locktype = 'advisory' and l.classid = ${LOCKS.alive} and l.objid = e.fence::oid
        and l.database = (select oid from pg_database where datname = current_database())))
    order by fence limit 20`,
}

const DECLARE_LOST: Statement = {
  name: 'engine_declare_lost',
  text: `with fenced as materialized (select pg_advisory_xact_lock(${LOCKS.fence}, $2))
    update engine_instance set lost_at = coalesce(lost_at, now()) from fenced where id = $1`,
}

const REQUEUE: Statement = {
  name: 'engine_requeue',
  text: `update run set state = 'queued', owner = null, wake_at = now(), epoch = epoch + 1, recoveries = recoveries + 1
    where id in (select id from run where owner = $1 and state = 'running' limit ${REQUEUE_BATCH} for update skip locked)
    returning id`,
}

/** As long as an instance has runs its row stands, for others find them by it: those that were locked just now, or not handed back. */
const FORGET: Statement = {
  name: 'engine_forget',
  text: `delete from engine_instance where id = $1
    and not exists (select 1 from run where owner = $1 and state = 'running')`,
}
