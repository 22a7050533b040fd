import { Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager } from 'typeorm'
import { Unauthenticated } from '../../platform/auth/auth.errors.js'
import type { Principal } from '../../platform/auth/principal.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { AccessTokens, type IssuedToken } from './access-tokens.js'
import { InvalidLogin } from './auth.errors.js'
import { type Known, PasswordCheck } from './password-check.js'
import { Sessions } from './sessions.js'

/** What somebody types to log in, and the address that it comes from. */
export interface Login {
  username: string
  password: string
  address: string
}

/** Logging in with a password, and the life of the tokens and sessions that come of it. */
@Injectable()
export class AuthService {
  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly passwords: PasswordCheck,
    private readonly tokens: AccessTokens,
    private readonly sessions: Sessions,
    private readonly audit: AuditTrail,
  ) {}

  /** Throws `InvalidLogin` and `TooManyAttempts`. */
  async login(login: Login): Promise<IssuedToken> {
    return await this.admit(login, (tx, account) => this.tokens.issue(tx, account))
  }

  /**
   * A session, and whose it is. `until` is the one that the browser had until now, which is over: what somebody has slipped a
   * browser before the login is worth nothing after it. Throws `InvalidLogin` and `TooManyAttempts`.
   */
  async startSession(login: Login, until?: string): Promise<{ account: Known; session: string }> {
    return await this.admit(login, async (tx, account) => ({
      account,
      session: await this.sessions.start(tx, account.id, until),
    }))
  }

  /** A new token for the one that the caller has, which then ends within a minute. */
  async refresh(caller: Principal): Promise<IssuedToken> {
    const tokenId = accessTokenOf(caller)
    return await this.database.transaction(async (tx) => {
      if (!(await this.tokens.retire(tx, tokenId))) throw new Unauthenticated()
      const token = await this.tokens.issue(tx, { id: caller.accountId, email: caller.email })
      await this.audit.record(tx, { actor: caller, action: 'auth.refresh', resource: ['account', caller.accountId] })
      return token
    })
  }

  /** The caller's session or access token is dead from now on, everywhere. */
  async logout(caller: Principal): Promise<void> {
    await this.database.transaction(async (tx) => {
      const { kind, tokenId = '' } = caller.credential
      if (kind === 'session') await this.sessions.end(tx, tokenId)
      else await this.tokens.revoke(tx, accessTokenOf(caller))
      await this.audit.record(tx, { actor: caller, action: 'auth.logout', resource: ['account', caller.accountId] })
    })
  }

  private async admit<T>(login: Login, issue: (tx: EntityManager, account: Known) => Promise<T>): Promise<T> {
    const account = await this.passwords.check(login.username, login.password, login.address)
    return await this.database.transaction(async (tx) => {
      if (!(await isStill(tx, account))) throw new InvalidLogin()
      const issued = await issue(tx, account)
      const actor = { tenantId: account.tenantId, accountId: account.id, email: account.email }
      await this.audit.record(tx, { actor, action: 'auth.login', resource: ['account', account.id] })
      return issued
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

function accessTokenOf({ credential: { kind, tokenId } }: Principal): string {
  if (kind !== 'password-token' || !tokenId) throw new Unauthenticated('This needs the token of a login')
  return tokenId
}
