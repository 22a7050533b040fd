import type { Pool, PoolClient } from 'pg'
import type { SignalWait } from '../../engine/host.js'
import { newId } from '../../platform/ids.js'
import type { Json } from '../../platform/json.js'

/** How long a signal that nobody waits for is kept. */
const KEEP_DAYS = 7
/** First key of the lock under which one account's waits and signals of one key meet. */
const MEETING = 7203

export type WaitState = { delivered: true; data: Json } | { delivered: false; deadline?: Date }

/** What a delivery came to. */
export interface Delivery {
  /** The runs that waited for it. */
  runIds: string[]
  /** True when nobody waited and the signal is kept for the next wait with its key. */
  kept: boolean
}

/**
 * Signals from outside, by key within an account. One that comes before anyone waits is kept, so that neither order loses it: waits and
 * deliveries of a key meet under one lock.
 */
export class SignalsService {
  constructor(private readonly pool: Pool) {}

  /** The state of a step's wait, which begins now unless it is recorded already. The first deadline holds. */
  async await(run: { id: string; accountId: string }, wait: SignalWait, now: Date): Promise<WaitState> {
    return await this.meet(run.accountId, wait.key, async (tx) => {
      await tx.query(
        `insert into signal_wait (run_id, path, attempt, account_id, key, deadline, created_at)
          values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`,
        [run.id, wait.path, wait.attempt, run.accountId, wait.key, wait.deadline ?? null, now],
      )
      const place = [run.id, wait.path, wait.attempt]
      const { rows } = await tx.query<{ delivered_at: Date | null; data: Json; deadline: Date | null }>(
        'select delivered_at, data, deadline from signal_wait where run_id = $1 and path = $2 and attempt = $3',
        place,
      )
      const found = rows[0]
      if (found?.delivered_at) return { delivered: true, data: found.data }
      const kept = await tx.query<{ data: Json }>(
        `delete from signal where id = (
          select id from signal where account_id = $1 and key = $2 and expires_at > $3 order by id limit 1) returning data`,
        [run.accountId, wait.key, now],
      )
      const signal = kept.rows[0]
      if (!signal) return { delivered: false, deadline: found?.deadline ?? undefined }
      await tx.query(
        `update signal_wait set delivered_at = $4, data = $5 where run_id = $1 and path = $2 and attempt = $3`,
        [...place, now, JSON.stringify(signal.data)],
      )
      return { delivered: true, data: signal.data }
    })
  }

  /** Gives the signal to every run of the account that waits for its key, or keeps it. */
  async deliver(accountId: string, key: string, data: Json, now: Date): Promise<Delivery> {
    return await this.meet(accountId, key, async (tx) => {
      const { rows } = await tx.query<{ run_id: string }>(
        `update signal_wait w set delivered_at = $3, data = $4 from run r
          where w.account_id = $1 and w.key = $2 and w.delivered_at is null and (w.deadline is null or w.deadline > $3)
            and r.id = w.run_id and r.state in ('queued', 'running', 'waiting')
          returning w.run_id`,
        [accountId, key, now, JSON.stringify(data)],
      )
      const runIds = [...new Set(rows.map((row) => row.run_id))]
      if (runIds.length > 0) {
        // A run that is just being parked keeps this wake-up: the journal's release does not overwrite it.
        await tx.query(`update run set wake_at = $2 where id = any ($1) and state in ('running', 'waiting')`, [runIds, now])
        await tx.query(`select pg_notify('run_due', '')`)
        return { runIds, kept: false }
      }
      await tx.query(
        `insert into signal (id, account_id, key, data, created_at, expires_at)
          values ($1, $2, $3, $4, $5::timestamptz, $5::timestamptz + make_interval(days => ${KEEP_DAYS}))`,
        [newId('signal'), accountId, key, JSON.stringify(data), now],
      )
      return { runIds: [], kept: true }
    })
  }

  private async meet<T>(accountId: string, key: string, work: (tx: PoolClient) => Promise<T>): Promise<T> {
    const tx = await this.pool.connect()
    try {
      await tx.query('begin')
      await tx.query('select pg_advisory_xact_lock($1, hashtext($2))', [MEETING, `${accountId} ${key}`])
      const result = await work(tx)
      await tx.query('commit')
      return result
    } catch (error) {
      await tx.query('rollback').catch(() => {})
      throw error
    } finally {
      tx.release()
    }
  }
}
