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

/** An address may have an account in several tenants. The default tenant's comes first, then the oldest. */
const BY_EMAIL: Statement = {
  name: 'account_by_email',
  text: `
    select id, tenant_id as "tenantId", email, name, role, password_hash as "passwordHash"
    from account where lower(email) = lower($1) and deleted_at is null
    order by tenant_id <> '${DEFAULT_TENANT}', id limit 1`,
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
    return await this.verify(username, await this.find(username), password, address)
  }

  /**
   * As `check`, for passwords that come with every request: a pair that was right before is right as long as the account has the
   * same password hash, which is read each time. It is no attempt at guessing and costs no hashing.
   */
  async checkAgain(username: string, password: string, address: string): Promise<Known> {
    const account = await this.find(username)
    const pair = account && this.keyed(account, password)
    if (pair && this.right.has(pair)) return account
    const verified = await this.verify(username, account, password, address)
    this.remember(this.keyed(verified, password))
    return verified
  }

  private async verify(
    username: string,
    account: Known | undefined,
    password: string,
    address: string,
  ): Promise<Known> {
    const attempt = await this.attempts.begin(username, address)
    const matches = await this.hasher.verify(account?.passwordHash, password)
    if (!matches || !account) {
      await this.recordFailure(account)
      throw new InvalidLogin()
    }
    await attempt.forget()
    return account
  }

  private async find(username: string): Promise<Known | undefined> {
    const [account] = await this.sql.query<Known & Record<string, unknown>>(BY_EMAIL, [username])
    return account
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
