import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager } from 'typeorm'
import type { Principal } from '../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { type Sealed, Sealer } from '../../platform/crypto/sealer.js'
import { BatchedReads } from '../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { AccountsService } from '../accounts/accounts.service.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { placeOfSecret } from './sealed-secrets.js'
import { Secret } from './secret.entity.js'
import { SecretNotFound } from './secrets.errors.js'

/** A secret as it may be shown: everything but its value. */
export type ShownSecret = Pick<Secret, 'key' | 'createdAt' | 'updatedAt'>

export interface SavedSecret {
  secret: ShownSecret
  /** False where it took the place of an earlier value. */
  isNew: boolean
}

const OF_ACCOUNT: Statement = {
  name: 'secrets_of_account',
  text: `select account_id as key, tenant_id as "tenantId", key as name, key_id as "keyId", sealed
    from secret where account_id = any ($1::text[]) order by account_id, key`,
}

/** An account's secrets. The account itself and admins write them; only its flows read them. */
@Injectable()
export class SecretsService {
  private readonly ofAccount: BatchedReads<Sealed & { key: string; tenantId: string; name: string }>

  constructor(
    @InjectDataSource() private readonly database: DataSource,
    sql: Sql,
    private readonly accounts: AccountsService,
    private readonly sealer: Sealer,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.ofAccount = new BatchedReads(sql, OF_ACCOUNT)
  }

  /** Sorted by key. */
  async list(caller: Principal, accountId: string): Promise<ShownSecret[]> {
    await this.accounts.get(caller, accountId)
    return await this.database.getRepository(Secret).find({
      select: { key: true, createdAt: true, updatedAt: true },
      where: { accountId },
      order: { key: 'asc' },
    })
  }

  /** A key that is there already gets the new value and keeps the time of its making. */
  async save(caller: Principal, accountId: string, key: string, value: string): Promise<SavedSecret> {
    await this.accounts.get(caller, accountId)
    const { keyId, sealed } = this.sealer.seal(value, placeOfSecret(accountId, key))
    const now = this.clock.now()
    return await this.database.transaction(async (tx) => {
      const [row]: { created_at: Date; is_new: boolean }[] = await tx.query(
        `insert into secret as known (account_id, key, tenant_id, key_id, sealed, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $6)
         on conflict (account_id, key) do update
           set key_id = excluded.key_id, sealed = excluded.sealed, updated_at = excluded.updated_at
         returning created_at, xmax = 0 as is_new`,
        [accountId, key, caller.tenantId, keyId, sealed, now],
      )
      if (!row) throw new Error('the secret was not stored')
      await this.record(tx, caller, row.is_new ? 'secret.create' : 'secret.update', accountId, key)
      return { secret: { key, createdAt: row.created_at, updatedAt: now }, isNew: row.is_new }
    })
  }

  async remove(caller: Principal, accountId: string, key: string): Promise<void> {
    await this.accounts.get(caller, accountId)
    await this.database.transaction(async (tx) => {
      const { affected } = await tx.delete(Secret, { accountId, key })
      if (!affected) throw new SecretNotFound(key)
      await this.record(tx, caller, 'secret.delete', accountId, key)
    })
  }

  /** The values by key, for the account's runs: as of now, so a run that starts after a write sees what was written. */
  async reveal(tenantId: string, accountId: string): Promise<Record<string, string>> {
    const rows = await this.ofAccount.rowsOf(accountId)
    const own = rows.filter((row) => row.tenantId === tenantId)
    return Object.fromEntries(own.map((row) => [row.name, this.sealer.open(row, placeOfSecret(accountId, row.name))]))
  }

  private record(tx: EntityManager, actor: Principal, action: string, accountId: string, key: string): Promise<void> {
    return this.audit.record(tx, { actor, action, resource: ['secret', `${accountId}/${key}`] })
  }
}
