import { Injectable } from '@nestjs/common'
import { Unauthenticated } from '../../platform/auth/auth.errors.js'
import { Authenticator, type TokenClaims } from '../../platform/auth/authenticator.js'
import type { Principal } from '../../platform/auth/principal.js'
import { requireScope, type Scope } from '../../platform/auth/scopes.js'
import { tokenKind } from '../../platform/auth/token-kind.js'
import { BatchedReads } from '../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { AccessTokens } from './access-tokens.js'
import { ApiKeyTokens } from './api-key-tokens.js'
import { FirebaseAccounts } from './firebase/firebase-accounts.js'
import { KNOWN_ACCOUNT, type KnownAccount, principalOf } from './known-account.js'
import { PasswordCheck } from './password-check.js'
import { Sessions } from './sessions.js'

/** Both rows by their primary keys, for all requests of the moment at once: the whole price of being current. */
const BY_TOKEN: Statement = {
  name: 'account_by_token',
  text: `
    select t.id as key, ${KNOWN_ACCOUNT}, t.expires_at as "expiresAt"
    from access_token t join account a on a.id = t.account_id
    where t.id = any ($1::text[]) and t.expires_at > now() and a.deleted_at is null`,
}

interface Row extends KnownAccount, Record<string, unknown> {
  key: string
  expiresAt: Date
}

/** Knows principals by their accounts. Asks the database every time, so that nothing it says is out of date. */
@Injectable()
export class AccountAuthenticator extends Authenticator {
  private readonly byToken: BatchedReads<Row>

  constructor(
    sql: Sql,
    private readonly tokens: AccessTokens,
    private readonly sessions: Sessions,
    private readonly keys: ApiKeyTokens,
    private readonly firebase: FirebaseAccounts,
    private readonly passwords: PasswordCheck,
  ) {
    super()
    this.byToken = new BatchedReads(sql, BY_TOKEN)
  }

  override async authenticate(token: string, scope: Scope = 'standard'): Promise<Principal> {
    const principal = await this.bearerOf(token)
    requireScope(principal.credential, scope)
    return principal
  }

  override async principalOf({ jti, sub }: TokenClaims): Promise<Principal> {
    // Signed with our key, and given out by somebody else who has it.
    if (typeof jti !== 'string') throw new Unauthenticated()
    const [row] = await this.byToken.rowsOf(jti)
    if (row?.id !== sub) throw new Unauthenticated()
    return principalOf(row, { kind: 'password-token', tokenId: jti, expiresAt: row.expiresAt })
  }

  override async withSession(session: string): Promise<Principal> {
    return await this.sessions.principalOf(session)
  }

  override async withPassword(username: string, password: string, address: string): Promise<Principal> {
    return principalOf(await this.passwords.checkAgain(username, password, address), { kind: 'basic' })
  }

  private async bearerOf(token: string): Promise<Principal> {
    switch (tokenKind(token)) {
      case 'access-token':
        return await this.principalOf(this.tokens.verify(token))
      case 'api-key':
        return await this.keys.principalOf(token)
      case 'id-token':
        return await this.firebase.principalOf(token)
    }
  }
}
