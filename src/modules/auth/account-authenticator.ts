import { Injectable } from '@nestjs/common'
import { Unauthenticated } from '../../platform/auth/auth.errors.js'
import { Authenticator, type TokenClaims } from '../../platform/auth/authenticator.js'
import type { Principal, Role } from '../../platform/auth/principal.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { AccessTokens } from './access-tokens.js'
import { PasswordCheck } from './password-check.js'

/** Both rows by their primary keys, in a statement that is planned once per connection: the whole price of being current. */
const BY_TOKEN: Statement = {
  name: 'account_by_token',
  text: `
    select a.id, a.tenant_id as "tenantId", a.role, a.email, a.name, t.expires_at as "expiresAt"
    from access_token t join account a on a.id = t.account_id
    where t.id = $1 and t.account_id = $2 and t.expires_at > now() and a.deleted_at is null`,
}

interface Row extends Record<string, unknown> {
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
  constructor(
    private readonly sql: Sql,
    private readonly tokens: AccessTokens,
    private readonly passwords: PasswordCheck,
  ) {
    super()
  }

  override async authenticate(token: string): Promise<Principal> {
    return await this.principalOf(this.tokens.verify(token))
  }

  override async principalOf({ jti, sub }: TokenClaims): Promise<Principal> {
    const [row] = await this.sql.query<Row>(BY_TOKEN, [jti, sub])
    if (!row) throw new Unauthenticated()
    const { id: accountId, tenantId, role, email, name, expiresAt } = row
    const credential = { kind: 'password-token' as const, tokenId: jti, expiresAt }
    return { accountId, tenantId, role, email, name, credential }
  }

  override async withPassword(username: string, password: string, address: string): Promise<Principal> {
    const { id: accountId, tenantId, role, email, name } = await this.passwords.checkAgain(username, password, address)
    return { accountId, tenantId, role, email, name, credential: { kind: 'basic' } }
  }
}
