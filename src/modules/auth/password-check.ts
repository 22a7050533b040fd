import { createHmac, randomBytes } from 'node:crypto'
import { Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import { DEFAULT_TENANT, type Role } from '../../platform/auth/principal.js'
import { PasswordHasher } from '../../platform/crypto/password-hasher.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { InvalidLogin } from './auth.errors.js'
import { LoginAttempts } from './login-attempts.js'

/** An account as far as logging in is concerned. */
export interface Known {
  id: string
  tenantId: string
  email: string
  name: string
  role: Role
  passwordHash: string
}

/**
 * The name as the database folds it, which has its own opinion of letters such as İ, and whose it is. An address may have an account in
 * several tenants. Those that have it from an admin or from Firebase come first, so that nobody locks another out by taking their
 * address; then the default tenant's, then the oldest.
 */
const BY_NAME: Statement = {
  name: 'account_by_name',
  text: `
    select lower($1) as folded, account.*
    from (select) as always left join lateral (
      select id, tenant_id as "tenantId", email, name, role, password_hash as "passwordHash"
      from account where lower(email) = lower($1) and deleted_at is null
      order by not email_vouched, tenant_id <> '${DEFAULT_TENANT}', id limit 1
    ) as account on true`,
}

/** Who says to be there: the name, folded so that all its spellings are one, and the account that has it. */
interface Claimed {
  name: string
  account?: Known
}

const REMEMBERED = 1_000

/**
 * Decides whether a user name and a password belong together. Failures are slowed and audited. A wrong password and a name that
 * nobody has take the same way, one hash verified included, so neither the answer nor its time tells them apart.
 */
@Injectable()
export class PasswordCheck {
  /** Makes the memory below useless to whoever reads it elsewhere. */
  private readonly salt = randomBytes(32)
  /** Pairs that were right, as keyed hashes, the latest last. */
  private readonly right = new Set<string>()

  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly sql: Sql,
    private readonly hasher: PasswordHasher,
    private readonly attempts: LoginAttempts,
    private readonly audit: AuditTrail,
  ) {}

  /** Throws `InvalidLogin` and `TooManyAttempts`. */
  async check(username: string, password: string, address: string): Promise<Known> {
    return await this.verify(await this.find(username), password, address)
  }

  /**
   * As `check`, for passwords that come with every request: a pair that was right before is right as long as the account has the
   * same password hash, which is read each time. It is no attempt at guessing and costs no hashing.
   */
  async checkAgain(username: string, password: string, address: string): Promise<Known> {
    const claimed = await this.find(username)
    const { account } = claimed
    if (account && this.right.has(this.keyed(account, password))) return account
    const verified = await this.verify(claimed, password, address)
    this.remember(this.keyed(verified, password))
    return verified
  }

  private async verify({ name, account }: Claimed, password: string, address: string): Promise<Known> {
    const attempt = await this.attempts.begin(name, address)
    // An account that came of an ID token has no password.
    const matches = await this.hasher.verify(account?.passwordHash || undefined, password)
    if (!matches || !account) {
      await this.recordFailure(account)
      throw new InvalidLogin()
    }
    await attempt.forget()
    return account
  }

  private async find(username: string): Promise<Claimed> {
    const [row] = await this.sql.query<{ folded: string } & (Known | { id: null })>(BY_NAME, [username])
    if (!row) throw new Error('a name that is folded is there')
    const { folded: name, ...account } = row
    return account.id === null ? { name } : { name, account }
  }

  /** The name that was typed is not kept: it may be a password in the wrong field. */
  private async recordFailure(account: Known | undefined): Promise<void> {
    await this.audit.record(this.database.manager, {
      actor: { tenantId: account?.tenantId ?? DEFAULT_TENANT },
      action: 'auth.login',
      resource: ['account', account?.id],
      outcome: 'failure',
    })
  }

  private keyed({ id, passwordHash }: Known, password: string): string {
    return createHmac('sha256', this.salt)
      .update(JSON.stringify([id, passwordHash, password]))
      .digest('base64')
  }

  private remember(pair: string): void {
    this.right.add(pair)
    const [oldest] = this.right
    if (this.right.size > REMEMBERED && oldest) this.right.delete(oldest)
  }
}
