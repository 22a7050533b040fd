import { Inject, Injectable } from '@nestjs/common'
import { Interval } from '@nestjs/schedule'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import type { SignalWait } from '../../engine/host.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { LOCKS } from '../../platform/database/advisory-locks.js'
import { Sql, type SqlSession, type Statement } from '../../platform/database/sql.js'
import { InvalidRequest } from '../../platform/http/faults.js'
import { newId } from '../../platform/ids.js'
import type { Json } from '../../platform/json.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { Turns } from './host/turns.js'

/** How long a signal that nobody waits for is kept. */
const KEEP_DAYS = 7
/** The longest key that a step can wait for. */
const LONGEST_KEY = 255
/** How often signals that nobody came for are removed. */
const SWEEP_MS = 600_000
/** The part of the pool's connections that waits may hold: each item of a batch may be one. */
const SHARE = 0.2
const NEVER = new AbortController().signal

export type WaitState = { delivered: true; data: Json } | { delivered: false; deadline?: Date }

/** What a delivery came to. */
export interface Delivery {
  /** The runs that waited for it. */
  runIds: string[]
  /** True when nobody waited and the signal is kept for the next wait with its key. */
  kept: boolean
}

/** Who sends a signal. */
export interface Sender {
  accountId: string
  tenantId: string
  email: string
}

/**
 * Signals from outside, by key within an account. One that comes before anyone waits is kept, so that neither order loses it: waits and
 * deliveries of a key meet under one lock.
 */
@Injectable()
export class SignalsService {
  private readonly turns: Turns

  constructor(
    private readonly sql: Sql,
    @InjectDataSource() private readonly database: DataSource,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.turns = Turns.share(sql.size, SHARE)
  }

  /** Removes signals that nobody came for. */
  @Interval(SWEEP_MS)
  async sweep(): Promise<void> {
    await this.sql.query(SWEEP, [this.clock.now()])
  }

  /** The state of a step's wait, which begins now unless it is recorded already. The first deadline holds. */
  async await(run: { id: string; accountId: string }, wait: SignalWait, now: Date, signal = NEVER): Promise<WaitState> {
    return await this.turns.take(run.accountId, signal, () => this.awaitNow(run, wait, now))
  }

  private async awaitNow(run: { id: string; accountId: string }, wait: SignalWait, now: Date): Promise<WaitState> {
    const place = [run.id, wait.path, wait.attempt]
    return await this.meet(run.accountId, wait.key, async (tx) => {
      await tx.query(BEGIN_WAIT, [...place, run.accountId, wait.key, wait.deadline ?? null, now])
      const [found] = await tx.query<{ delivered_at: Date | null; data: Json; deadline: Date | null }>(FIND_WAIT, place)
      if (found?.delivered_at) return { delivered: true, data: found.data }
      const kept = await this.takeKept(tx, run, wait.key, found?.deadline ?? null, now)
      if (!kept) return { delivered: false, deadline: found?.deadline ?? undefined }
      await tx.query(END_WAIT, [...place, now, JSON.stringify(kept.data)])
      return { delivered: true, data: kept.data }
    })
  }

  /** Gives the signal to every run of the caller's account that waits for its key, or keeps it. */
  async deliver(caller: Sender, key: string, data: Json, now: Date): Promise<Delivery> {
    if (key.length > LONGEST_KEY) throw new InvalidRequest(`The key of a signal has at most ${LONGEST_KEY} characters`)
    const text = JSON.stringify(data)
    const { accountId } = caller
    return await this.database.transaction(async (tx) => {
      await tx.query(MEET.text, [`${accountId} ${key}`])
      const [waits] = await tx.query<[{ run_id: string }[], number]>(DELIVER, [accountId, key, now, text])
      const runIds = [...new Set(waits.map((wait) => wait.run_id))]
      if (runIds.length > 0) await tx.query(WAKE, [runIds, now])
      else await tx.query(KEEP, [newId('signal'), accountId, key, text, now])
      await this.audit.record(tx, {
        actor: caller,
        action: 'signal.send',
        resource: ['signal', key],
        after: { runIds },
      })
      return { runIds, kept: runIds.length === 0 }
    })
  }

  private async takeKept(
    tx: SqlSession,
    run: { id: string; accountId: string },
    key: string,
    deadline: Date | null,
    now: Date,
  ): Promise<{ data: Json } | undefined> {
    const [kept] = await tx.query<{ data: Json }>(TAKE_KEPT, [run.accountId, key, now, deadline, run.id])
    return kept
  }

  private async meet<T>(accountId: string, key: string, work: (tx: SqlSession) => Promise<T>): Promise<T> {
    return await this.sql.transaction(async (tx) => {
      await tx.query(MEET, [`${accountId} ${key}`])
      return await work(tx)
    })
  }
}

const SWEEP: Statement = { name: 'signal_sweep', text: 'delete from signal where expires_at <= $1' }

const MEET: Statement = { name: 'signal_meet', text: `select pg_advisory_xact_lock(${LOCKS.signal}, hashtext($1))` }

/** Of a run that was cancelled meanwhile nothing waits; the lock keeps a cancel from coming in between. */
const BEGIN_WAIT: Statement = {
  name: 'signal_begin_wait',
  text: `insert into signal_wait (run_id, path, attempt, account_id, key, deadline, created_at)
    select id, $2, $3, $4, $5, $6, $7 from run where id = $1 and state in ('queued', 'running', 'waiting') for key share
    on conflict do nothing`,
}

const FIND_WAIT: Statement = {
  name: 'signal_find_wait',
  text: 'select delivered_at, data, deadline from signal_wait where run_id = $1 and path = $2 and attempt = $3',
}

const END_WAIT: Statement = {
  name: 'signal_end_wait',
  text: `update signal_wait set delivered_at = $4, data = $5 where run_id = $1 and path = $2 and attempt = $3`,
}

/** What came after the deadline, or for a run that is over, is kept for the next wait. */
const TAKE_KEPT: Statement = {
  name: 'signal_take_kept',
  text: `delete from signal where id = (
      select id from signal where account_id = $1 and key = $2 and expires_at > $3
        and ($4::timestamptz is null or created_at <= $4)
        and exists (select from run where id = $5 and state in ('queued', 'running', 'waiting'))
      order by id limit 1)
    returning data`,
}

const DELIVER = `update signal_wait w set delivered_at = $3, data = $4 from run r
    where w.account_id = $1 and w.key = $2 and w.delivered_at is null and (w.deadline is null or w.deadline > $3)
      and r.id = w.run_id and r.state in ('queued', 'running', 'waiting')
    returning w.run_id`

/** A run that is just being parked keeps this wake-up: the journal's release does not overwrite it. */
const WAKE = `update run set wake_at = $2 where id = any ($1) and state in ('running', 'waiting')`

const KEEP = `insert into signal (id, account_id, key, data, created_at, expires_at)
    values ($1, $2, $3, $4, $5::timestamptz, $5::timestamptz + make_interval(days => ${KEEP_DAYS}))`
