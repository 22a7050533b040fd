import { Inject, Injectable } from '@nestjs/common'
import { type Sealed, Sealer } from '../../platform/crypto/sealer.js'
import { BatchedReads } from '../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { isJsonObject, type Json } from '../../platform/json.js'
import { pointerTo } from '../../platform/json-pointer.js'
import type { KeyValueScope } from '../../steps/ports.js'
import { sealOf } from './kv-place.js'

/** Those past their time as well: a run may still hold what it read before. */
const OF_ACCOUNT: Statement = {
  name: 'kv_secrets_of_account',
  text: `select account_id as key, tenant_id as "tenantId", scope, scope_key as "scopeKey", key as name, key_id as "keyId", sealed
    from kv_entry where account_id = any ($1::text[]) and secret order by account_id, id`,
}

interface SecretRow extends Sealed {
  /** The account's id. */
  key: string
  tenantId: string
  scope: KeyValueScope
  scopeKey: string
  name: string
}

/** What must not be shown of an account's secret entries. */
@Injectable()
export class KvSecrets {
  private readonly ofAccount: BatchedReads<SecretRow>

  constructor(
    @Inject(Sql) sql: Sql,
    private readonly sealer: Sealer,
  ) {
    this.ofAccount = new BatchedReads(sql, OF_ACCOUNT)
  }

  /** The texts to be masked in whatever the account's runs leave behind, as of now. */
  async texts(tenantId: string, accountId: string): Promise<string[]> {
    const rows = await this.ofAccount.rowsOf(accountId)
    return rows
      .filter((row) => row.tenantId === tenantId)
      .flatMap((row) => textsOf(this.open(row)).map(({ text }) => text))
  }

  private open({ key: accountId, scope, scopeKey, name, ...sealed }: SecretRow): Json {
    return JSON.parse(this.sealer.open(sealed, sealOf({ accountId, scope, scopeKey, key: name })))
  }
}

/** The texts and numbers in a value, each with the pointer to it. */
export function textsOf(value: Json, pointer = ''): { text: string; pointer: string }[] {
  if (typeof value === 'string') return [{ text: value, pointer }]
  if (typeof value === 'number') return [{ text: String(value), pointer }]
  if (Array.isArray(value)) return value.flatMap((item, index) => textsOf(item, `${pointer}/${index}`))
  if (!isJsonObject(value)) return []
  return Object.entries(value).flatMap(([name, member]) => textsOf(member, pointerTo(pointer, name)))
}
