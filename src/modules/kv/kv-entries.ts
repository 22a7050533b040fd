import { StepError } from '../../engine/step.js'
import type { Clock } from '../../platform/clock/clock.js'
import type { Sealed, Sealer } from '../../platform/crypto/sealer.js'
import { LOCKS } from '../../platform/database/advisory-locks.js'
import type { SqlSession, Statement } from '../../platform/database/sql.js'
import { newId } from '../../platform/ids.js'
import type { Json } from '../../platform/json.js'
import type { KeyValueScope } from '../../steps/ports.js'
import type { Transactor } from '../steps/transactions.js'
import { type KvPlace, lockOf, sealOf } from './kv-place.js'

/** Characters of one value, as JSON: as many as a script may answer with. A list that grows for ever ends here. */
export const MOST_VALUE_CHARS = 8 * 1024 * 1024

/** The key id of a value that was stored before values were sealed, until a process has sealed it. */
export const UNSEALED = ''

/** One key-value entry. */
export interface KvEntry {
  id: string
  scope: KeyValueScope
  scopeKey: string
  key: string
  value: Json
  /** 1 when it is made, one more with every change. */
  version: number
  /** Its value can be used but not read. */
  secret: boolean
  expiresAt: Date | null
  createdAt: Date
  updatedAt: Date
}

export type KvRow = Omit<KvEntry, 'value'> & Sealed & Pick<KvPlace, 'accountId'>

/** What a set says beside the value. */
export interface KvTerms {
  expiresAt?: Date
  /** Absent: as it was. */
  secret?: boolean
}

export type KvWritten = Pick<KvEntry, 'id' | 'version' | 'secret' | 'createdAt' | 'updatedAt'>

/** An entry past its time counts as none. `now` names the parameter. */
export const isLive = (now: string, table = '') =>
  `(${table}expires_at is null or ${table}expires_at > ${now}::timestamptz)`

export const ROW = `id, account_id as "accountId", scope, scope_key as "scopeKey", key, key_id as "keyId", sealed, version::float8 as version,
  secret, expires_at as "expiresAt", created_at as "createdAt", updated_at as "updatedAt"`

const WRITTEN = `id, version::float8 as version, secret, created_at as "createdAt", updated_at as "updatedAt"`

const IS_AT = 'account_id = $1 and scope = $2 and scope_key = $3 and key = $4'

const GET: Statement = { name: 'kv_get', text: `select ${ROW} from kv_entry where ${IS_AT} and ${isLive('$5')}` }
/**
 * Under the lock of changes, so that none of them, having read before, writes over it. Over an entry past its time it begins anew.
 */
const SET: Statement = {
  name: 'kv_set',
  text: `with locked as materialized (select pg_advisory_xact_lock(${LOCKS.entry}, hashtext($12)))
    insert into kv_entry as known (account_id, scope, scope_key, key, id, tenant_id, key_id, sealed, expires_at, secret, created_at, updated_at)
      select $1, $2, $3, $4, $5, $6, $7, $8::bytea, $9::timestamptz, coalesce($10::boolean, false), $11::timestamptz, $11 from locked
    on conflict (account_id, scope, scope_key, key) do update set key_id = excluded.key_id, sealed = excluded.sealed,
      expires_at = excluded.expires_at, updated_at = excluded.updated_at,
      secret = coalesce($10, known.secret and ${isLive('$11', 'known.')}),
      version = case when ${isLive('$11', 'known.')} then known.version + 1 else 1 end,
      created_at = case when ${isLive('$11', 'known.')} then known.created_at else excluded.created_at end
    returning ${WRITTEN}`,
}
const CHANGE: Statement = {
  name: 'kv_change',
  text: `insert into kv_entry as known (account_id, scope, scope_key, key, id, tenant_id, key_id, sealed, created_at, updated_at)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
    on conflict (account_id, scope, scope_key, key) do update set key_id = excluded.key_id, sealed = excluded.sealed,
      version = known.version + 1, updated_at = excluded.updated_at
    returning ${WRITTEN}`,
}
const DELETE: Statement = {
  name: 'kv_delete',
  text: `with locked as materialized (select pg_advisory_xact_lock(${LOCKS.entry}, hashtext($6)))
    delete from kv_entry using locked where ${IS_AT} returning ${isLive('$5')} as live`,
}
const SWEEP: Statement = {
  name: 'kv_sweep',
  text: `delete from kv_entry where ${IS_AT} and expires_at <= $5`,
}
/** Held to the end of the transaction: a key that is not there yet has no row to lock. */
const LOCK: Statement = { name: 'kv_lock', text: `select pg_advisory_xact_lock(${LOCKS.entry}, hashtext($1))` }

/** The rows of key-value entries, each by its place: sealed on the way in, opened on the way out. An entry past its time is never seen. */
export class KvEntries {
  constructor(
    private readonly sql: Transactor,
    private readonly sealer: Sealer,
    private readonly clock: Clock,
  ) {}

  async read(place: KvPlace): Promise<KvEntry | undefined> {
    return await this.readIn(this.sql, place)
  }

  async set(place: KvPlace, value: Json, { expiresAt, secret }: KvTerms = {}): Promise<KvWritten> {
    const { keyId, sealed } = this.seal(place, value)
    return one(
      await this.sql.query<KvWritten>(SET, [
        ...at(place),
        newId('kv'),
        place.tenantId,
        keyId,
        sealed,
        expiresAt ?? null,
        secret ?? null,
        this.clock.now(),
        lockOf(place),
      ]),
    )
  }

  /** Whether there was one. */
  async remove(place: KvPlace): Promise<boolean> {
    const [gone] = await this.sql.query<{ live: boolean }>(DELETE, [...at(place), this.clock.now(), lockOf(place)])
    return gone?.live ?? false
  }

  /** Reads and writes under one lock; the entry keeps its time to live. */
  async change<T extends Json>(
    place: KvPlace,
    next: (entry: KvEntry | undefined) => T,
  ): Promise<KvWritten & { value: T }> {
    return await this.sql.transaction(async (tx) => {
      const value = next(await this.claimIn(tx, place))
      const { keyId, sealed } = this.seal(place, value)
      const values = [...at(place), newId('kv'), place.tenantId, keyId, sealed, this.clock.now()]
      return { ...one(await tx.query<KvWritten>(CHANGE, values)), value }
    })
  }

  /** The entry as nobody else changes it before the end of this transaction, also where there is none. */
  async claim(place: KvPlace): Promise<KvEntry | undefined> {
    return await this.claimIn(this.sql, place)
  }

  open(row: KvRow): KvEntry {
    return opened(row, this.sealer)
  }

  private async claimIn(tx: SqlSession, place: KvPlace): Promise<KvEntry | undefined> {
    await tx.query(LOCK, [lockOf(place)])
    await tx.query(SWEEP, [...at(place), this.clock.now()])
    return await this.readIn(tx, place)
  }

  private async readIn(session: SqlSession, place: KvPlace): Promise<KvEntry | undefined> {
    const [row] = await session.query<KvRow>(GET, [...at(place), this.clock.now()])
    return row && this.open(row)
  }

  private seal(place: KvPlace, value: Json): Sealed {
    return this.sealer.seal(storable(place.key, value), sealOf(place))
  }
}

export function opened(row: KvRow, sealer: Sealer): KvEntry {
  const { accountId: _, keyId, sealed, ...entry } = row
  const text = keyId === UNSEALED ? sealed.toString() : sealer.open({ keyId, sealed }, sealOf(row))
  return { ...entry, value: JSON.parse(text) }
}

function at({ accountId, scope, scopeKey, key }: KvPlace): string[] {
  return [accountId, scope, scopeKey, key]
}

function one<Row>([row]: Row[]): Row {
  if (!row) throw new Error('the entry was not stored')
  return row
}

function storable(key: string, value: Json): string {
  const text = JSON.stringify(value)
  if (text.length <= MOST_VALUE_CHARS) return text
  throw new StepError(`the value of '${key}' is larger than ${MOST_VALUE_CHARS} characters of JSON`, {
    retryable: false,
  })
}
