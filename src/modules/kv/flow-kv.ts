import { Inject, Injectable } from '@nestjs/common'
import { type RunIdentity, StepError, type Transaction } from '../../engine/step.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Sealer } from '../../platform/crypto/sealer.js'
import { Sql, type SqlSession, type Statement } from '../../platform/database/sql.js'
import type { Json } from '../../platform/json.js'
import { MASK } from '../../platform/masking/secret-masker.js'
import type { FlowKeyValues, KeyValuePlace, WrittenKeyValue } from '../../steps/ports.js'
import { joined, type Transactor, within } from '../steps/transactions.js'
import { appended } from './kv-changes.js'
import { isLive, KvEntries, type KvRow, type KvWritten, ROW } from './kv-entries.js'
import { globalPlace, type KvPlace } from './kv-place.js'
import { type KvConflict, resolved, type SeenValue } from './kv-resolution.js'
import { isOwnScope } from './kv-scopes.js'

/** Whose eyes look: a run's, or those of a flow that is about to be run. */
export type KvViewer = Pick<RunIdentity, 'tenantId' | 'accountId' | 'flowId'>

const GROUP_OF: Statement = {
  name: 'kv_group_of',
  text: 'select group_id as "groupId" from flow where id = $2 and account_id = $1',
}

/** One look at the index for each scope: a condition over all of them would read every entry of the account. */
const SEEN: Statement = {
  name: 'kv_seen',
  text: `select f.kv_conflict as conflict, e.* from flow f
    cross join lateral (values ('flow', f.id), ('flow_group', f.group_id), ('global', '')) as seen (scope, scope_key)
    cross join lateral (
      select ${ROW} from kv_entry e
        where e.account_id = $1 and e.scope = seen.scope and e.scope_key = seen.scope_key and e.key = $3 and ${isLive('$4')}) as e
    where f.id = $2 and f.account_id = $1 and (seen.scope = 'flow' or f.kv_inherit)`,
}

/**
 * The entries that a flow reads and writes. What it sees under a key without naming a scope is its own entry, and with `kvInherit` those
 * of its group and of the whole account as well; `kvConflict` says which of them wins.
 */
@Injectable()
export class FlowKv implements FlowKeyValues {
  private readonly rows: KvEntries

  constructor(
    @Inject(Sql) private readonly sql: Transactor,
    private readonly sealer: Sealer,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.rows = new KvEntries(sql, sealer, clock)
  }

  within(transaction: Transaction): FlowKeyValues {
    return new FlowKv(within(transaction), this.sealer, this.clock)
  }

  /** What the flow sees under a key, for expressions: secret values as they are, and said to be secret. */
  async resolve(viewer: KvViewer, key: string): Promise<SeenValue | undefined> {
    const rows = await this.sql.query<KvRow & { conflict: KvConflict }>(SEEN, [
      viewer.accountId,
      viewer.flowId,
      key,
      this.clock.now(),
    ])
    return resolved(
      rows.map((row) => this.rows.open(row)),
      rows[0]?.conflict ?? 'child',
    )
  }

  /** The entry of the whole account, whatever the flow sees under the key. */
  async getGlobal(viewer: KvViewer, key: string): Promise<SeenValue | undefined> {
    return await this.rows.read(globalPlace(viewer, key))
  }

  async get(
    run: RunIdentity,
    { key, scope, scopeKey }: Omit<KeyValuePlace, 'scope'> & Partial<KeyValuePlace>,
  ): Promise<Json | undefined> {
    const seen = scope ? await this.readAt(run, { key, scope, scopeKey }) : await this.resolve(run, key)
    // A run may have begun before the entry became a secret, and would not know to mask it.
    return seen?.secret ? MASK : seen?.value
  }

  async set(run: RunIdentity, place: KeyValuePlace, value: Json, expiresAt?: Date): Promise<WrittenKeyValue> {
    return await this.sql.transaction(async (tx) => {
      const own = await this.ownPlace(tx, run, place)
      return written(own, await this.rowsIn(tx).set(own, value, { expiresAt }))
    })
  }

  async append(run: RunIdentity, place: KeyValuePlace, value: Json): Promise<WrittenKeyValue & { length: number }> {
    return await this.sql.transaction(async (tx) => {
      const own = await this.ownPlace(tx, run, place)
      const changed = await this.rowsIn(tx).change(own, (entry) => appended(own.key, entry, value))
      return { ...written(own, changed), length: changed.value.length }
    })
  }

  private async readAt(run: RunIdentity, named: KeyValuePlace): Promise<SeenValue | undefined> {
    const place = await placeOf(this.sql, run, named)
    return place && (await this.rows.read(place))
  }

  private async ownPlace(tx: SqlSession, run: RunIdentity, named: KeyValuePlace): Promise<KvPlace> {
    const place = await placeOf(tx, run, named)
    if (!place) throw new StepError('the flow is in no group', { code: 'kv_no_group', retryable: false })
    // A run may outlive its flow, and keeps what is its own.
    const isOwn = place.scopeKey === run.flowId || (await isOwnScope(tx, place))
    if (isOwn) return place
    const noun = place.scope === 'flow' ? 'flow' : 'group'
    throw new StepError(`there is no ${noun} ${place.scopeKey}`, { code: 'kv_unknown_scope', retryable: false })
  }

  private rowsIn(tx: SqlSession): KvEntries {
    return new KvEntries(joined(tx), this.sealer, this.clock)
  }
}

/** Undefined for the group of a flow that is in none. */
async function placeOf(
  session: SqlSession,
  run: RunIdentity,
  { key, scope, scopeKey }: KeyValuePlace,
): Promise<KvPlace | undefined> {
  const { tenantId, accountId, flowId } = run
  if (scope === 'global') return globalPlace(run, key)
  const id = scopeKey ?? (scope === 'flow' ? flowId : await groupOf(session, run))
  return id === undefined ? undefined : { tenantId, accountId, scope, scopeKey: id, key }
}

async function groupOf(session: SqlSession, { accountId, flowId }: RunIdentity): Promise<string | undefined> {
  const [flow] = await session.query<{ groupId: string | null }>(GROUP_OF, [accountId, flowId])
  return flow?.groupId ?? undefined
}

function written({ scope, scopeKey }: KvPlace, { version }: KvWritten): WrittenKeyValue {
  return { scope, scopeKey: scopeKey || null, version }
}
