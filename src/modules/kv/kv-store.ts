import { Inject, Injectable } from '@nestjs/common'
import { Interval } from '@nestjs/schedule'
import type { RunIdentity, Transaction } from '../../engine/step.js'
import { StepError } from '../../engine/step.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { LOCKS } from '../../platform/database/advisory-locks.js'
import { Sql, type SqlSession, type Statement } from '../../platform/database/sql.js'
import type { Json } from '../../platform/json.js'
import type { KeyValueStore } from '../../steps/ports.js'
import { type Transactor, within } from '../steps/transactions.js'

const GET: Statement = {
  name: 'kv_get',
  text: 'select value from kv_entry where account_id = $1 and key = $2 and (expires_at is null or expires_at > $3)',
}
/** Under the lock of changes, so that none of them, having read before, writes over it. */
const SET: Statement = {
  name: 'kv_set',
  text: `with locked as materialized (select pg_advisory_xact_lock(${LOCKS.entry}, hashtext($5)))
    insert into kv_entry (account_id, key, value, expires_at) select $1, $2, $3::json, $4::timestamptz from locked
    on conflict (account_id, key) do update set value = excluded.value, expires_at = excluded.expires_at, updated_at = now()`,
}
const CHANGE: Statement = {
  name: 'kv_change',
  text: `insert into kv_entry (account_id, key, value) values ($1, $2, $3)
    on conflict (account_id, key) do update set value = excluded.value, updated_at = now()`,
}
const DELETE: Statement = {
  name: 'kv_delete',
  text: `with locked as materialized (select pg_advisory_xact_lock(${LOCKS.entry}, hashtext($4)))
    delete from kv_entry using locked where account_id = $1 and key = $2
    returning expires_at is null or expires_at > $3 as live`,
}
const ENTRIES: Statement = {
  name: 'kv_entries',
  text: `select key, value from kv_entry where account_id = $1 and (expires_at is null or expires_at > $2)
    order by key collate "C"`,
}
/** Tells how much that would be before it is read. */
const SIZE: Statement = {
  name: 'kv_size',
  text: `select coalesce(sum(octet_length(value::text)), 0)::float8 as bytes from kv_entry
    where account_id = $1 and (expires_at is null or expires_at > $2)`,
}
const KEYS: Statement = {
  name: 'kv_keys',
  text: `select key from kv_entry where account_id = $1 and (expires_at is null or expires_at > $2)
    order by key collate "C"`,
}
const CLEAR: Statement = {
  name: 'kv_clear',
  text: `with gone as (delete from kv_entry where account_id = $1 returning expires_at)
    select count(*)::integer as count from gone where expires_at is null or expires_at > $2`,
}
const SWEEP: Statement = {
  name: 'kv_sweep',
  text: `delete from kv_entry where account_id = $1 and key = $2 and expires_at <= $3`,
}
const SWEEP_ALL: Statement = { name: 'kv_sweep_all', text: 'delete from kv_entry where expires_at <= $1' }
/** Held to the end of the transaction: a key that is not there yet has no row to lock. */
const LOCK: Statement = { name: 'kv_lock', text: `select pg_advisory_xact_lock(${LOCKS.entry}, hashtext($1))` }

/** Characters of one value, as JSON: as many as a script may answer with. A list that grows for ever ends here. */
const MOST_VALUE_CHARS = 8 * 1024 * 1024
/** Bytes that are read at once, when a flow asks for all entries of its account. */
const MOST_READ_BYTES = 64 * 1024 * 1024

/** How often entries past their time are removed. */
const SWEEP_MS = 600_000

/** Key-value entries in Postgres, each account's own, shared by its flows. An entry past its time is never seen. */
@Injectable()
export class KvStore implements KeyValueStore {
  constructor(
    @Inject(Sql) private readonly sql: Transactor,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  within(transaction: Transaction): KeyValueStore {
    return new KvStore(within(transaction), this.clock)
  }

  /** Removes what nobody can see any more. */
  @Interval(SWEEP_MS)
  async sweep(): Promise<void> {
    await this.sql.query(SWEEP_ALL, [this.clock.now()])
  }

  async get(run: RunIdentity, key: string): Promise<Json | undefined> {
    return await this.read(this.sql, run, key)
  }

  async set(run: RunIdentity, key: string, value: Json, expiresAt?: Date): Promise<void> {
    await this.sql.query(SET, [run.accountId, key, storable(key, value), expiresAt ?? null, lockOf(run, key)])
  }

  async delete(run: RunIdentity, key: string): Promise<boolean> {
    const [gone] = await this.sql.query<{ live: boolean }>(DELETE, [
      run.accountId,
      key,
      this.clock.now(),
      lockOf(run, key),
    ])
    return gone?.live ?? false
  }

  async entries(run: RunIdentity): Promise<{ key: string; value: Json }[]> {
    const now = this.clock.now()
    const [size] = await this.sql.query<{ bytes: number }>(SIZE, [run.accountId, now])
    if ((size?.bytes ?? 0) > MOST_READ_BYTES)
      throw new StepError(`the entries are larger than ${MOST_READ_BYTES} bytes together: get single keys`, {
        retryable: false,
      })
    return await this.sql.query<{ key: string; value: Json }>(ENTRIES, [run.accountId, now])
  }

  async keys(run: RunIdentity): Promise<string[]> {
    const rows = await this.sql.query<{ key: string }>(KEYS, [run.accountId, this.clock.now()])
    return rows.map(({ key }) => key)
  }

  async clear(run: RunIdentity): Promise<number> {
    const [row] = await this.sql.query<{ count: number }>(CLEAR, [run.accountId, this.clock.now()])
    return row?.count ?? 0
  }

  async increment(run: RunIdentity, key: string, amount: number): Promise<number> {
    return await this.change(run, key, (value) => {
      const current = value ?? 0
      if (typeof current !== 'number')
        throw new StepError(`the value of '${key}' is not a number`, { retryable: false })
      const sum = current + amount
      if (!Number.isFinite(sum)) throw new StepError(`the value of '${key}' becomes too large`, { retryable: false })
      return sum
    })
  }

  async append(run: RunIdentity, key: string, value: Json): Promise<void> {
    await this.change(run, key, (current) => {
      const list = current ?? []
      if (!Array.isArray(list)) throw new StepError(`the value of '${key}' is not a list`, { retryable: false })
      return [...list, value]
    })
  }

  /** Reads and writes under one lock; the entry keeps its time to live. */
  private async change<T extends Json>(
    run: RunIdentity,
    key: string,
    next: (value: Json | undefined) => T,
  ): Promise<T> {
    return await this.sql.transaction(async (tx) => {
      await tx.query(LOCK, [lockOf(run, key)])
      await tx.query(SWEEP, [run.accountId, key, this.clock.now()])
      const value = next(await this.read(tx, run, key))
      await tx.query(CHANGE, [run.accountId, key, storable(key, value)])
      return value
    })
  }

  private async read(session: SqlSession, run: RunIdentity, key: string): Promise<Json | undefined> {
    const [row] = await session.query<{ value: Json }>(GET, [run.accountId, key, this.clock.now()])
    return row?.value
  }
}

function lockOf(run: RunIdentity, key: string): string {
  return `${run.accountId} ${key}`
}

function storable(key: string, value: Json): string {
  const text = JSON.stringify(value)
  if (text.length <= MOST_VALUE_CHARS) return text
  throw new StepError(`the value of '${key}' is larger than ${MOST_VALUE_CHARS} characters of JSON`, {
    retryable: false,
  })
}
