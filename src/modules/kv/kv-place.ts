import type { SealedTable } from '../../platform/crypto/rotate-keys.js'
import type { KeyValueScope } from '../../steps/ports.js'

/** Where an entry is kept: whose it is, how far it is seen, and its key. No two entries are in one place. */
export interface KvPlace {
  readonly tenantId: string
  readonly accountId: string
  readonly scope: KeyValueScope
  /** The flow's or the group's id; empty for an entry of the whole account. */
  readonly scopeKey: string
  readonly key: string
}

export interface KvOwner {
  readonly tenantId: string
  readonly accountId: string
}

export function globalPlace({ tenantId, accountId }: KvOwner, key: string): KvPlace {
  return { tenantId, accountId, scope: 'global', scopeKey: '', key }
}

/** What its changes are locked by, whether it has a row yet or not. */
export function lockOf({ accountId, scopeKey, key }: KvPlace): string {
  return `${accountId} ${scopeKey} ${key}`
}

/** What a value is sealed for. The key is spelled as the database has it, which cannot hold half a character. */
export function sealOf({ accountId, scope, scopeKey, key }: Omit<KvPlace, 'tenantId'>): readonly string[] {
  return ['kv', accountId, scope, scopeKey, key.toWellFormed()]
}

/** Where entries are, for the rotation of keys. */
export const sealedEntries: SealedTable = {
  name: 'kv_entry',
  primaryKey: ['id'],
  columns: ['account_id', 'scope', 'scope_key', 'key'],
  place: (row) =>
    sealOf({
      accountId: row.account_id ?? '',
      scope: row.scope as KeyValueScope,
      scopeKey: row.scope_key ?? '',
      key: row.key ?? '',
    }),
}
