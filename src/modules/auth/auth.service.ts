import { Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager } from 'typeorm'
import { Unauthenticated } from '../../platform/auth/auth.errors.js'
import type { Principal } from '../../platform/auth/principal.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { AccessTokens, type Session } from './access-tokens.js'
import { InvalidLogin } from './auth.errors.js'
import { type Known, PasswordCheck } from './password-check.js'

/** Logging in with a password, and the life of the tokens that come of it. */
@Injectable()
export class AuthService {
  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly passwords: PasswordCheck,
    private readonly tokens: AccessTokens,
    private readonly audit: AuditTrail,
  ) {}

  /** Throws `InvalidLogin` and `TooManyAttempts`. */
  async login(username: string, password: string, address: string): Promise<Session> {
    const account = await this.passwords.check(username, password, address)
    return await this.database.transaction(async (tx) => {
      if (!(await isStill(tx, account))) throw new InvalidLogin()
      const session = await this.tokens.issue(tx, account)
      const actor = { tenantId: account.tenantId, accountId: account.id, email: account.email }
      await this.audit.record(tx, { actor, action: 'auth.login', resource: ['account', account.id] })
      return session
    })
  }

  /** A new token for the one that the caller has, which then ends within a minute. */
  async refresh(caller: Principal): Promise<Session> {
    const tokenId = tokenOf(caller)
    return await this.database.transaction(async (tx) => {
      if (!(await this.tokens.retire(tx, tokenId))) throw new Unauthenticated()
      const session = await this.tokens.issue(tx, { id: caller.accountId, email: caller.email })
      await this.audit.record(tx, { actor: caller, action: 'auth.refresh', resource: ['account', caller.accountId] })
      return session
    })
  }

  /** The caller's token is dead from now on, everywhere. */
  async logout(caller: Principal): Promise<void> {
    const tokenId = tokenOf(caller)
    await this.database.transaction(async (tx) => {
      await this.tokens.revoke(tx, tokenId)
      await this.audit.record(tx, { actor: caller, action: 'auth.logout', resource: ['account', caller.accountId] })
    })
  }
}

/** Whether the account still has the password that was checked; it cannot lose it before the transaction ends. */
async function isStill(tx: EntityManager, { id, passwordHash }: Known): Promise<boolean> {
  const rows = await tx.query(
    'select from account where id = $1 and password_hash = $2 and deleted_at is null for share',
    [id, passwordHash],
  )
  return rows.length > 0
}

function tokenOf({ credential }: Principal): string {
  if (!credential.tokenId) throw new Unauthenticated('This needs a token, not a password')
  return credential.tokenId
}
