import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager } from 'typeorm'
import { Unauthenticated } from '../../../platform/auth/auth.errors.js'
import { DEFAULT_TENANT, type Principal } from '../../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../../platform/clock/clock.js'
import { Config } from '../../../platform/config/config.js'
import { BatchedReads } from '../../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../../platform/database/sql.js'
import { newId } from '../../../platform/ids.js'
import { AuditTrail } from '../../audit/audit-trail.js'
import { KNOWN_ACCOUNT, type KnownAccount, principalOf } from '../known-account.js'
import { type Identity, IdTokens } from './id-tokens.js'

const BY_IDENTITY: Statement = {
  name: 'account_by_identity',
  text: `
    select i.id as key, ${KNOWN_ACCOUNT}, a.deleted_at is not null as deleted
    from external_identity i join account a on a.id = i.account_id
    where i.id = any ($1::text[])`,
}

interface Row extends KnownAccount, Record<string, unknown> {
  key: string
  deleted: boolean
}

/** Where addresses of accounts end that have none which counts. The name is reserved: it can belong to nobody. */
const NOWHERE = '@firebase.invalid'

const MAX_NAME = 200

const REMEMBERED = 1_000

/**
 * The accounts of those who come with Firebase's ID tokens. Who was never seen gets one, in the default tenant:
 *
 * - An address counts only if Firebase has checked it. Then, if an account has that address already, and has it from somebody
 *   who may know whose it is, it is theirs. An address that an account has given itself is no reason: whoever took
 *   another's in advance would get them as a guest.
 * - Whoever has no address that counts, or one that an account holds without a reason, gets an account under an address that is nobody's.
 *
 * Whose account was deleted stays out.
 */
@Injectable()
export class FirebaseAccounts {
  private readonly byIdentity: BatchedReads<Row>
  /** Accounts and the addresses that they could not have, so that not every request tries again. */
  private readonly refused = new Set<string>()

  constructor(
    @InjectDataSource() private readonly database: DataSource,
    sql: Sql,
    private readonly tokens: IdTokens,
    private readonly config: Config,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.byIdentity = new BatchedReads(sql, BY_IDENTITY)
  }

  /** Whose token it is. Throws `Unauthenticated`, and `Unavailable` where Firebase's keys cannot be had. */
  async principalOf(token: string): Promise<Principal> {
    const identity = await this.tokens.verify(token)
    const row = (await this.find(identity)) ?? (await this.welcome(identity))
    if (!row || row.deleted) throw new Unauthenticated()
    const { expiresAt, verifiedEmail } = identity
    const account = verifiedEmail && row.email.endsWith(NOWHERE) ? await this.adopt(row, verifiedEmail) : row
    return principalOf(account, { kind: 'id-token', expiresAt })
  }

  private async find(identity: Identity): Promise<Row | undefined> {
    const [row] = await this.byIdentity.rowsOf(idOf(identity))
    return row
  }

  /** Those who come for the first time take turns by the tenant's row, so that one who comes twice at once gets one account. */
  private async welcome(identity: Identity): Promise<Row | undefined> {
    await this.database.transaction(async (tx) => {
      await oneAtATime(tx)
      const id = idOf(identity)
      const [known] = await tx.query('select from external_identity where id = $1', [id])
      if (known) return
      const accountId = (await this.link(tx, identity)) ?? (await this.create(tx, identity))
      await tx.query('insert into external_identity (id, account_id) values ($1, $2)', [id, accountId])
    })
    return await this.find(identity)
  }

  /** The id of the account that is theirs already. */
  private async link(tx: EntityManager, { verifiedEmail }: Identity): Promise<string | undefined> {
    if (verifiedEmail === undefined) return undefined
    const [account] = await tx.query(
      `select id, email from account
       where lower(email) = lower($1) and tenant_id = $2 and email_vouched and deleted_at is null for share`,
      [verifiedEmail, DEFAULT_TENANT],
    )
    if (!account) return undefined
    const actor = { tenantId: DEFAULT_TENANT, accountId: account.id, email: account.email }
    await this.audit.record(tx, { actor, action: 'account.link', resource: ['account', account.id] })
    return account.id
  }

  private async create(tx: EntityManager, { verifiedEmail, name }: Identity): Promise<string> {
    const id = newId('account')
    const nobodys = `${id.toLowerCase()}${NOWHERE}`
    const called = name?.replaceAll('\0', '').trim().slice(0, MAX_NAME) || verifiedEmail || 'Firebase user'
    const insert = async (email: string) => {
      const rows = await tx.query(
        `insert into account (id, tenant_id, name, email, role, password_hash, created_at, updated_at)
         values ($1, $2, $3, $4, $5, '', $6, $6)
         on conflict (lower(email), tenant_id) where deleted_at is null do nothing returning email`,
        [id, DEFAULT_TENANT, called, email, this.config.firebaseRole, this.clock.now()],
      )
      return rows[0]?.email as string | undefined
    }
    const email = (verifiedEmail && (await insert(verifiedEmail))) ?? (await insert(nobodys))
    const after = { name: called, email: email ?? nobodys, role: this.config.firebaseRole }
    const actor = { tenantId: DEFAULT_TENANT, accountId: id, email }
    await this.audit.record(tx, { actor, action: 'account.create', resource: ['account', id], after })
    return id
  }

  /** Gives an account the address that counts by now, unless another has it. */
  private async adopt(row: Row, email: string): Promise<KnownAccount> {
    const wish = `${row.id} ${email}`
    if (this.refused.has(wish)) return row
    if (this.refused.size >= REMEMBERED) this.refused.clear()
    this.refused.add(wish)
    return await this.database.transaction(async (tx) => {
      await oneAtATime(tx)
      const [[account]] = await tx.query(
        `update account a set email = $2, email_vouched = true, updated_at = $3
         where id = $1 and email = $4 and deleted_at is null and not exists (
           select from account o where lower(o.email) = lower($2) and o.tenant_id = a.tenant_id and o.deleted_at is null)
         returning ${KNOWN_ACCOUNT}`,
        [row.id, email, this.clock.now(), row.email],
      )
      if (!account) return row
      const actor = { tenantId: row.tenantId, accountId: row.id, email }
      const states = { before: { email: row.email }, after: { email } }
      await this.audit.record(tx, { actor, action: 'account.update', resource: ['account', row.id], ...states })
      return account
    })
  }
}

function idOf({ issuer, subject }: Identity): string {
  return `${issuer} ${subject}`
}

async function oneAtATime(tx: EntityManager): Promise<void> {
  await tx.query('select from tenant where id = $1 for no key update', [DEFAULT_TENANT])
}
