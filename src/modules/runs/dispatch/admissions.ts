import type { Clock } from '../../../platform/clock/clock.js'
import { crashPoint } from '../../../platform/crash-point/crash-point.js'
import type { SqlSession, Statement } from '../../../platform/database/sql.js'

/** Keys that are given slots in one statement. */
const KEYS_AT_ONCE = 100
/** How often keys are looked for whose slots somebody else freed, and the share of the time that looking may take at most. */
const SWEEP_MS = 1_000
const SWEEP_SHARE = 0.02

/** A limit on how many runs of an account run at the same time. */
export interface SlotKey {
  accountId: string
  key: string
}

export interface AdmissionsParts {
  sql: SqlSession
  clock: Clock
  /** Runs of these worker tags may begin. */
  onAdmitted(tags: ReadonlySet<string>): void
  onError(error: unknown): void
}

/**
 * The slots of concurrency keys. They are nothing but the states of runs, so none can leak: a run that ended, however it came, holds none.
 * What has to be done is to let the next in; this process does so at once where it freed a slot, and every second for all others.
 */
export class Admissions {
  private asked = new Map<string, SlotKey>()
  private admitting?: Promise<void>
  private sweeping?: NodeJS.Timeout
  private stopped = false

  constructor(private readonly parts: AdmissionsParts) {
    this.sweepIn(SWEEP_MS)
  }

  /** A run with this key was accepted, ended, or parked. */
  ask(slot: SlotKey): void {
    if (this.stopped) return
    this.asked.set(`${slot.accountId} ${slot.key}`, slot)
    this.admitting ??= this.admitAll().finally(() => {
      this.admitting = undefined
    })
  }

  /** The same for runs of which only the ids are known. */
  async askFor(runIds: readonly string[]): Promise<void> {
    const slots = await this.parts.sql.query<{ account: string; key: string }>(KEYS_OF, [runIds])
    for (const { account, key } of slots) this.ask({ accountId: account, key })
  }

  /** Lets in whoever waits for a slot that is free. */
  async sweep(): Promise<void> {
    const slots = await this.parts.sql.query<{ account: string; key: string }>(KEYS_WITH_ROOM)
    for (const { account, key } of slots) this.ask({ accountId: account, key })
    await this.admitting
  }

  async stop(): Promise<void> {
    this.stopped = true
    clearTimeout(this.sweeping)
    await this.admitting
  }

  private async admitAll(): Promise<void> {
    // What this turn of the event loop asks for goes together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.asked.size > 0) {
      const slots = [...this.asked].slice(0, KEYS_AT_ONCE)
      for (const [name] of slots) this.asked.delete(name)
      try {
        await this.admit(slots.map(([, slot]) => slot))
      } catch (error) {
        // The next sweep finds them.
        this.parts.onError(error)
      }
    }
  }

  private async admit(slots: readonly SlotKey[]): Promise<void> {
    const { sql, clock, onAdmitted } = this.parts
    const values = [slots.map(({ accountId }) => accountId), slots.map(({ key }) => key), clock.now()]
    const tags = await sql.query<{ worker_tag: string }>(ADMIT, values)
    crashPoint('slot')
    if (tags.length > 0) onAdmitted(new Set(tags.map((row) => row.worker_tag)))
  }

  private sweepIn(ms: number): void {
    this.sweeping = setTimeout(async () => {
      const began = performance.now()
      await this.sweep().catch((error) => this.parts.onError(error))
      if (!this.stopped) this.sweepIn(Math.max(SWEEP_MS, (performance.now() - began) / SWEEP_SHARE))
    }, ms)
  }
}

const ADMIT: Statement = { name: 'run_admit', text: 'select distinct worker_tag from run_admit($1, $2, $3)' }

const KEYS_OF: Statement = {
  name: 'run_keys_of',
  text: `select distinct account_id as account, concurrency_key as key from run
    where id = any ($1) and concurrency_key is not null`,
}

/** From key to key along the index of what is held, so that a backlog of one key costs no more than one run of it. */
const KEYS_WITH_ROOM: Statement = {
  name: 'run_keys_with_room',
  text: `with recursive held (account, key) as (
      (select account_id, concurrency_key from run
        where concurrency_key is not null and state = 'queued' and wake_at is null
        order by account_id, concurrency_key limit 1)
      union all
      select further.* from held cross join lateral (
        select account_id, concurrency_key from run
          where concurrency_key is not null and state = 'queued' and wake_at is null
            and (account_id, concurrency_key) > (held.account, held.key)
          order by account_id, concurrency_key limit 1) as further)
    select account, key from held
    where (select count(*) from run
        where account_id = held.account and concurrency_key = held.key
          and (state = 'running' or state = 'queued' and wake_at is not null))
      < (select concurrency_limit from run
        where account_id = held.account and concurrency_key = held.key and state = 'queued' and wake_at is null
        order by priority desc, id limit 1)
    limit 1000`,
}
