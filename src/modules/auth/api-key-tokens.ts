import { createHash, createSecretKey, hkdfSync, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto'
import { Injectable } from '@nestjs/common'
import { JwtService } from '@nestjs/jwt'
import { CLOCK_TOLERANCE_S, TOKEN_ALGORITHM } from '../../platform/auth/access-token.js'
import { Unauthenticated } from '../../platform/auth/auth.errors.js'
import type { Principal } from '../../platform/auth/principal.js'
import type { Scope } from '../../platform/auth/scopes.js'
import { Config } from '../../platform/config/config.js'
import { BatchedReads } from '../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import type { ApiKey } from './api-key.entity.js'
import { CredentialUses, NOTED_ANEW_AFTER_S } from './credential-uses.js'
import { KNOWN_ACCOUNT, type KnownAccount, principalOf } from './known-account.js'

/** What the token of a key says. `iat` and `exp` are seconds since the epoch. */
export interface ApiKeyClaims {
  userId: string
  companyId: string
  keyId: string
  scopes: Scope[]
  /** Random: whoever has the signing key, but not the token, cannot make it anew. */
  jti: string
  iat: number
  exp?: number
}

const BY_KEY: Statement = {
  name: 'account_by_api_key',
  text: `
    select k.id as key, ${KNOWN_ACCOUNT}, k.scopes, k.token_hash as "tokenHash", k.expires_at as "expiresAt",
      (k.last_used_at > now() - make_interval(secs => ${NOTED_ANEW_AFTER_S})) is not true as due
    from api_key k join account a on a.id = k.account_id
    where k.id = any ($1::text[]) and (k.expires_at > now()) is not false and a.deleted_at is null`,
}

interface Row extends KnownAccount, Record<string, unknown> {
  key: string
  scopes: Scope[]
  tokenHash: Buffer
  expiresAt: Date | null
  due: boolean
}

/**
 * The tokens of API keys: JWTs under a signing key of their own, so that none is an access token and none of those is a key. The
 * signature keeps strangers away from the database; what makes a token count is the row that holds its hash.
 */
@Injectable()
export class ApiKeyTokens {
  private readonly jwt = new JwtService()
  private readonly signingKey: KeyObject
  private readonly byKey: BatchedReads<Row>

  constructor(
    { jwtSecret }: Config,
    sql: Sql,
    private readonly uses: CredentialUses,
  ) {
    this.signingKey = createSecretKey(Buffer.from(hkdfSync('sha256', jwtSecret, '', 'millrace api keys', 32)))
    this.byKey = new BatchedReads(sql, BY_KEY)
  }

  /** The token of a new key. */
  make(key: Pick<ApiKey, 'id' | 'tenantId' | 'accountId' | 'scopes' | 'createdAt' | 'expiresAt'>): string {
    const claims: ApiKeyClaims = {
      userId: key.accountId,
      companyId: key.tenantId,
      keyId: key.id,
      scopes: key.scopes,
      jti: randomBytes(16).toString('base64url'),
      iat: Math.floor(key.createdAt.getTime() / 1000),
      ...(key.expiresAt && { exp: Math.ceil(key.expiresAt.getTime() / 1000) }),
    }
    return this.jwt.sign(claims, { ...this.secret, algorithm: TOKEN_ALGORITHM, keyid: key.id })
  }

  hash(token: string): Buffer {
    return createHash('sha256').update(token).digest()
  }

  /** Whose key it is, with the role that the account has now. Throws `Unauthenticated`. */
  async principalOf(token: string): Promise<Principal> {
    const { keyId } = this.verify(token)
    const [row] = await this.byKey.rowsOf(keyId)
    if (!row || !timingSafeEqual(row.tokenHash, this.hash(token))) throw new Unauthenticated()
    if (row.due) this.uses.ofKey(keyId)
    const expiresAt = row.expiresAt ?? undefined
    return principalOf(row, { kind: 'api-key', tokenId: keyId, scopes: row.scopes, expiresAt })
  }

  private verify(token: string): ApiKeyClaims {
    try {
      const checks = { algorithms: [TOKEN_ALGORITHM], clockTolerance: CLOCK_TOLERANCE_S } as const
      return this.jwt.verify<ApiKeyClaims>(token, { ...this.secret, ...checks, algorithms: [...checks.algorithms] })
    } catch {
      throw new Unauthenticated()
    }
  }

  /** jsonwebtoken takes a key as well as a text, which the types do not say. */
  private get secret(): { secret: Buffer } {
    return { secret: this.signingKey as unknown as Buffer }
  }
}
