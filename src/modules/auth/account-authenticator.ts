import { Injectable } from '@nestjs/common'
import { Unauthenticated } from '../../platform/auth/auth.errors.js'
import { Authenticator, type TokenClaims } from '../../platform/auth/authenticator.js'
import type { Principal, Role } from '../../platform/auth/principal.js'
import { BatchedReads } from '../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { AccessTokens } from './access-tokens.js'
import { PasswordCheck } from './password-check.js'

/** Both rows by their primary keys, for all requests of the moment at once: the whole price of being current. */
const BY_TOKEN: Statement = {
  name: 'account_by_token',
  text: `
    select t.id as key, a.id, a.tenant_id as "tenantId", a.role, a.email, a.name, t.expires_at as "expiresAt"
    from access_token t join account a on a.id = t.account_id
    where t.id = any ($1::text[]) and t.expires_at > now() and a.deleted_at is null`,
}

interface Row extends Record<string, unknown> {
  key: string
  id: string
  tenantId: string
  role: Role
  email: string
  name: string
  expiresAt: Date
}

/** Knows principals by their accounts. Asks the database every time, so that nothing it says is out of date. */
@Injectable()
export class AccountAuthenticator extends Authenticator {
  private readonly byToken: BatchedReads<Row>

  constructor(
    sql: Sql,
    private readonly tokens: AccessTokens,
    private readonly passwords: PasswordCheck,
  ) {
    super()
    this.byToken = new BatchedReads(sql, BY_TOKEN)
  }

  override async authenticate(token: string): Promise<Principal> {
    return await this.principalOf(this.tokens.verify(token))
  }

  override async principalOf({ jti, sub }: TokenClaims): Promise<Principal> {
    const [row] = await this.byToken.rowsOf(jti)
    if (row?.id !== sub) throw new Unauthenticated()
    const { id: accountId, tenantId, role, email, name, expiresAt } = row
    const credential = { kind: 'password-token' as const, tokenId: jti, expiresAt }
    return { accountId, tenantId, role, email, name, credential }
  }

  override async withPassword(username: string, password: string, address: string): Promise<Principal> {
    const { id: accountId, tenantId, role, email, name } = await this.passwords.checkAgain(username, password, address)
    return { accountId, tenantId, role, email, name, credential: { kind: 'basic' } }
  }
}
