import { Inject, Injectable } from '@nestjs/common'
import { Interval } from '@nestjs/schedule'
import type { RunIdentity, Transaction } from '../../engine/step.js'
import { StepError } from '../../engine/step.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Sealer } from '../../platform/crypto/sealer.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import type { Json } from '../../platform/json.js'
import { MASK } from '../../platform/masking/secret-masker.js'
import type { KeyValueStore } from '../../steps/ports.js'
import { type Transactor, within } from '../steps/transactions.js'
import { appended, increased } from './kv-changes.js'
import { isLive, KvEntries, type KvEntry, type KvRow, ROW } from './kv-entries.js'
import { globalPlace } from './kv-place.js'

const IS_GLOBAL = `account_id = $1 and scope = 'global'`
const ENTRIES: Statement = {
  name: 'kv_entries',
  text: `select ${ROW} from kv_entry where ${IS_GLOBAL} and ${isLive('$2')} order by key`,
}
/** Tells how much that would be before it is read. */
const SIZE: Statement = {
  name: 'kv_size',
  text: `select coalesce(sum(octet_length(sealed)), 0)::float8 as bytes from kv_entry where ${IS_GLOBAL} and ${isLive('$2')}`,
}
const KEYS: Statement = {
  name: 'kv_keys',
  text: `select key from kv_entry where ${IS_GLOBAL} and ${isLive('$2')} order by key`,
}
const CLEAR: Statement = {
  name: 'kv_clear',
  text: `with gone as (delete from kv_entry where ${IS_GLOBAL} returning expires_at)
    select count(*)::integer as count from gone where ${isLive('$2')}`,
}
const SWEEP_ALL: Statement = { name: 'kv_sweep_all', text: 'delete from kv_entry where expires_at <= $1' }

/** Bytes that are read at once, when a flow asks for all entries of its account. */
const MOST_READ_BYTES = 64 * 1024 * 1024

/** How often entries past their time are removed. */
const SWEEP_MS = 600_000

/** The `store` step's entries: those that are kept for an account as a whole, shared by its flows. Secret ones are masked. */
@Injectable()
export class KvStore implements KeyValueStore {
  private readonly rows: KvEntries

  constructor(
    @Inject(Sql) private readonly sql: Transactor,
    private readonly sealer: Sealer,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.rows = new KvEntries(sql, sealer, clock)
  }

  within(transaction: Transaction): KeyValueStore {
    return new KvStore(within(transaction), this.sealer, this.clock)
  }

  /** Removes what nobody can see any more. */
  @Interval(SWEEP_MS)
  async sweep(): Promise<void> {
    await this.sql.query(SWEEP_ALL, [this.clock.now()])
  }

  async get(run: RunIdentity, key: string): Promise<Json | undefined> {
    const entry = await this.rows.read(globalPlace(run, key))
    return entry && shown(entry)
  }

  async set(run: RunIdentity, key: string, value: Json, expiresAt?: Date): Promise<void> {
    await this.rows.set(globalPlace(run, key), value, { expiresAt })
  }

  async delete(run: RunIdentity, key: string): Promise<boolean> {
    return await this.rows.remove(globalPlace(run, key))
  }

  async entries(run: RunIdentity): Promise<{ key: string; value: Json }[]> {
    const now = this.clock.now()
    const [size] = await this.sql.query<{ bytes: number }>(SIZE, [run.accountId, now])
    if ((size?.bytes ?? 0) > MOST_READ_BYTES)
      throw new StepError(`the entries are larger than ${MOST_READ_BYTES} bytes together: get single keys`, {
        retryable: false,
      })
    const rows = await this.sql.query<KvRow>(ENTRIES, [run.accountId, now])
    return rows.map((row) => ({ key: row.key, value: shown(this.rows.open(row)) }))
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
    const { value } = await this.rows.change(globalPlace(run, key), (entry) => increased(key, entry, amount))
    return value
  }

  async append(run: RunIdentity, key: string, value: Json): Promise<void> {
    await this.rows.change(globalPlace(run, key), (entry) => appended(key, entry, value))
  }
}

/** A run may have begun before the entry became a secret, and would not know to mask it. */
function shown({ secret, value }: KvEntry): Json {
  return secret ? MASK : value
}
