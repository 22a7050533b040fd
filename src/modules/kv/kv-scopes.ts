import type { SqlSession, Statement } from '../../platform/database/sql.js'
import type { KvPlace } from './kv-place.js'

const OWN_FLOW: Statement = {
  name: 'kv_own_flow',
  text: 'select from flow where id = $2 and account_id = $1 and deleted_at is null',
}
/** Held to the end of the transaction, so that the group is not deleted from below the entry. */
const OWN_GROUP: Statement = {
  name: 'kv_own_group',
  text: 'select from flow_group where id = $2 and account_id = $1 for key share',
}

/** Whether the flow or the group that an entry is to be kept for is the account's. */
export async function isOwnScope(
  session: SqlSession,
  { accountId, scope, scopeKey }: Omit<KvPlace, 'tenantId' | 'key'>,
): Promise<boolean> {
  if (scope === 'global') return true
  const found = await session.query(scope === 'flow' ? OWN_FLOW : OWN_GROUP, [accountId, scopeKey])
  return found.length > 0
}
