import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager } from 'typeorm'
import type { Principal } from '../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Sealer } from '../../platform/crypto/sealer.js'
import { Sql, type SqlSession, type Statement } from '../../platform/database/sql.js'
import { sessionOf } from '../../platform/database/typeorm-session.js'
import type { Fault } from '../../platform/errors/domain-error.js'
import { ValidationFailed } from '../../platform/http/faults.js'
import { type Expected, requireMatch, requireNone } from '../../platform/http/headers.js'
import type { Json } from '../../platform/json.js'
import { MIN_SECRET_LENGTH } from '../../platform/masking/needles.js'
import type { KeyValueScope } from '../../steps/ports.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { joined } from '../steps/transactions.js'
import { KvEntryNotFound, KvVersionConflict } from './kv.errors.js'
import { isLive, KvEntries, type KvEntry, type KvRow, MOST_VALUE_CHARS, ROW } from './kv-entries.js'
import type { KvPlace } from './kv-place.js'
import { isOwnScope } from './kv-scopes.js'
import { textsOf } from './kv-secrets.js'

/** An entry as it may be shown: without the value of a secret, and in a list without one that is too large for it. */
export type ShownEntry = Omit<KvEntry, 'value'> & { value: Json; omitted?: boolean }

export interface KvPage {
  entries: ShownEntry[]
  total: number
}

export interface KvQuery {
  scope?: KeyValueScope
  scopeKey?: string
  /** What the key begins with. */
  prefix?: string
  limit: number
  offset: number
}

export interface NewEntry {
  key: string
  value: Json
  scope: KeyValueScope
  /** Of a group or a flow. */
  scopeKey?: string
  /** The version that the entry must have, 0 where there must be none. */
  version?: number
  /** Absent: as it was. */
  secret?: boolean
  expiresAt?: Date
  ttlSeconds?: number
}

/** What the headers of a request ask of what is there. */
export interface Conditions {
  expected?: Expected
  onlyNew: boolean
}

/** Characters of a secret value: what a run looks for in all that it shows must stay small. */
const MOST_SECRET_CHARS = 65_536
/** Bytes of a value that a list shows: a page of 100 stays below 7 MB. */
const MOST_LISTED_BYTES = 65_536

const FOUND = `account_id = $1 and ($2::text is null or scope = $2) and ($3::text is null or scope_key = $3)
    and ($4::text is null or key ^@ $4) and ${isLive('$5')}`
const PAGE: Statement = {
  name: 'kv_page',
  text: `select ${ROW.replace('sealed', `case when not secret and octet_length(sealed) <= ${MOST_LISTED_BYTES} then sealed end as sealed`)}
    from kv_entry where ${FOUND} order by scope, scope_key, key limit $6 offset $7`,
}
const TOTAL: Statement = { name: 'kv_total', text: `select count(*)::integer as total from kv_entry where ${FOUND}` }
const FIND: Statement = {
  name: 'kv_find',
  text: `select ${ROW} from kv_entry where id = $2 and account_id = $1 and ${isLive('$3')}`,
}
const REMOVE: Statement = { name: 'kv_remove', text: 'delete from kv_entry where id = $1' }

/** The key-value entries of an account, as its people see and change them. To everyone else they do not exist. */
@Injectable()
export class KvService {
  private readonly rows: KvEntries

  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly sql: Sql,
    private readonly sealer: Sealer,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.rows = new KvEntries(sql, sealer, clock)
  }

  /** By scope, its flow or group, and key. */
  async page({ accountId }: Principal, query: KvQuery): Promise<KvPage> {
    const found = [accountId, query.scope ?? null, query.scopeKey ?? null, query.prefix ?? null, this.clock.now()]
    const [rows, [count]] = await Promise.all([
      this.sql.query<KvRow & { sealed: Buffer | null }>(PAGE, [...found, query.limit, query.offset]),
      this.sql.query<{ total: number }>(TOTAL, found),
    ])
    return { entries: rows.map((row) => this.listed(row)), total: count?.total ?? 0 }
  }

  async get(caller: Principal, id: string): Promise<ShownEntry> {
    return shown(await this.find(this.sql, caller, id))
  }

  /** Makes the entry or gives it a new value. Its version decides between those who read before they write. */
  async set(
    caller: Principal,
    input: NewEntry,
    { expected, onlyNew }: Conditions = { onlyNew: false },
  ): Promise<{ entry: ShownEntry; isNew: boolean }> {
    const place = placeFor(caller, input)
    const expiresAt = this.expiryOf(input)
    return await this.database.transaction(async (tx) => {
      const rows = this.rowsIn(tx)
      if (!(await isOwnScope(sessionOf(tx), place))) throw unknownScope(place)
      const before = await rows.claim(place)
      requireNone(onlyNew, before !== undefined)
      requireMatch(expected, before?.version)
      if (input.version !== undefined && input.version !== (before?.version ?? 0)) {
        throw new KvVersionConflict(input.key, input.version, before?.version ?? 0)
      }
      const secret = input.secret ?? before?.secret ?? false
      if (secret) refuseUnmaskable(input.value)
      const written = await rows.set(place, input.value, { expiresAt, secret })
      const { scope, scopeKey, key } = place
      const entry: KvEntry = { ...written, scope, scopeKey, key, value: input.value, expiresAt: expiresAt ?? null }
      await this.record(tx, caller, before ? 'kv.update' : 'kv.create', entry, before)
      return { entry: shown(entry), isNew: !before }
    })
  }

  async remove(caller: Principal, id: string, expected?: Expected): Promise<void> {
    await this.database.transaction(async (tx) => {
      const session = sessionOf(tx)
      const found = await this.find(session, caller, id)
      const entry = await this.rowsIn(tx).claim({ ...found, tenantId: caller.tenantId, accountId: caller.accountId })
      if (entry?.id !== id) throw new KvEntryNotFound(id)
      requireMatch(expected, entry.version)
      await session.query(REMOVE, [id])
      await this.record(tx, caller, 'kv.delete', undefined, entry)
    })
  }

  private async find(session: SqlSession, { accountId }: Principal, id: string): Promise<KvEntry> {
    const [row] = await session.query<KvRow>(FIND, [accountId, id, this.clock.now()])
    if (!row) throw new KvEntryNotFound(id)
    return this.rows.open(row)
  }

  private listed(row: KvRow & { sealed: Buffer | null }): ShownEntry {
    if (row.sealed) return shown(this.rows.open(row))
    const { accountId: _, keyId: __, sealed: ___, ...entry } = row
    return { ...entry, value: null, ...(!entry.secret && { omitted: true }) }
  }

  private rowsIn(tx: EntityManager): KvEntries {
    return new KvEntries(joined(sessionOf(tx)), this.sealer, this.clock)
  }

  private expiryOf({ expiresAt, ttlSeconds }: NewEntry): Date | undefined {
    const now = this.clock.now().getTime()
    if (ttlSeconds !== undefined) {
      if (expiresAt) throw refused('#/expiresAt', 'Expires at and ttl seconds cannot both be given', 'ambiguous')
      return new Date(now + ttlSeconds * 1_000)
    }
    if (expiresAt && expiresAt.getTime() <= now)
      throw refused('#/expiresAt', 'Expires at must be in the future', 'past')
    return expiresAt
  }

  private record(
    tx: EntityManager,
    actor: Principal,
    action: string,
    after: KvEntry | undefined,
    before: KvEntry | undefined,
  ): Promise<void> {
    return this.audit.record(tx, {
      actor,
      action,
      resource: ['kv', (after ?? before)?.id],
      before: before && audited(before),
      after: after && audited(after),
    })
  }
}

function placeFor({ tenantId, accountId }: Principal, { key, scope, scopeKey, value }: NewEntry): KvPlace {
  if (scope === 'global' && scopeKey !== undefined) {
    throw refused(
      '#/scopeKey',
      'Scope key names a flow or a group; an entry with the scope global has none',
      'unexpected',
    )
  }
  if (scope !== 'global' && scopeKey === undefined) {
    throw refused('#/scopeKey', `Scope key is required with the scope ${scope}`, 'required')
  }
  if (JSON.stringify(value).length > MOST_VALUE_CHARS) {
    throw refused('#/value', `Value must have at most ${MOST_VALUE_CHARS} characters of JSON`, 'too_long')
  }
  return { tenantId, accountId, scope, scopeKey: scopeKey ?? '', key }
}

function unknownScope({ scope, scopeKey }: KvPlace): ValidationFailed {
  const noun = scope === 'flow' ? 'flow' : 'group'
  return refused('#/scopeKey', `There is no ${noun} ${scopeKey}`, `unknown_${noun}`)
}

/** What is too short would be found everywhere, so it is not looked for; and what is not looked for would be shown. */
function refuseUnmaskable(value: Json): void {
  if (JSON.stringify(value).length > MOST_SECRET_CHARS) {
    throw refused('#/value', `A secret value must have at most ${MOST_SECRET_CHARS} characters of JSON`, 'too_long')
  }
  const texts = textsOf(value)
  if (texts.length === 0) throw refused('#/value', 'A secret value must hold a text or a number', 'no_text')
  const faults = texts
    .filter(({ text }) => text.length < MIN_SECRET_LENGTH)
    .map(({ pointer }) => ({
      pointer: `#/value${pointer}`,
      detail: `Texts and numbers of a secret value must have at least ${MIN_SECRET_LENGTH} characters`,
      code: 'too_short',
    }))
  if (faults.length > 0) throw new ValidationFailed(faults.slice(0, 100))
}

function refused(pointer: string, detail: Fault['detail'], code: string): ValidationFailed {
  return new ValidationFailed([{ pointer, detail, code }])
}

function shown(entry: KvEntry): ShownEntry {
  return entry.secret ? { ...entry, value: null } : entry
}

/** An entry as the audit trail keeps it: without its value. */
function audited({ key, scope, scopeKey, version, secret, expiresAt }: KvEntry) {
  return {
    key,
    scope,
    ...(scopeKey && { scopeKey }),
    version,
    ...(secret && { hidden: true }),
    ...(expiresAt && { expiresAt: expiresAt.toISOString() }),
  }
}
