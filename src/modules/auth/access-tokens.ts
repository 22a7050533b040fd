import { Injectable } from '@nestjs/common'
import { JwtService } from '@nestjs/jwt'
import type { EntityManager } from 'typeorm'
import { TOKEN_ALGORITHM, TOKEN_CHECKS, TOKEN_ISSUER } from '../../platform/auth/access-token.js'
import { Unauthenticated } from '../../platform/auth/auth.errors.js'
import type { TokenClaims } from '../../platform/auth/authenticator.js'
import { Config } from '../../platform/config/config.js'
import { newId } from '../../platform/ids.js'

const LIFETIME_S = 24 * 60 * 60

/** After a refresh the old token is good for this much longer, for requests that are already under way. */
const REFRESHED_GRACE_S = 60

/** What a login or a refresh answers. */
export interface IssuedToken {
  token: string
  expiresAt: Date
  accountId: string
}

/**
 * Access tokens: JWTs, each with a row under its `jti`. The signature keeps strangers out, the row is what makes a token count: when
 * the row goes, the token is dead on every process.
 */
@Injectable()
export class AccessTokens {
  private readonly jwt: JwtService

  constructor({ jwtSecret }: Config) {
    this.jwt = new JwtService({
      secret: jwtSecret,
      signOptions: { algorithm: TOKEN_ALGORITHM },
      verifyOptions: TOKEN_CHECKS,
    })
  }

  /** A new token, which counts once `tx` has committed. */
  async issue(tx: EntityManager, account: { id: string; email: string }): Promise<IssuedToken> {
    const issuedAt = Math.floor(Date.now() / 1000)
    const claims: TokenClaims = {
      account_id: account.id,
      username: account.email,
      iss: TOKEN_ISSUER,
      sub: account.id,
      jti: newId('token'),
      iat: issuedAt,
      nbf: issuedAt,
      exp: issuedAt + LIFETIME_S,
    }
    const expiresAt = new Date(claims.exp * 1000)
    await tx.query('delete from access_token where account_id = $1 and expires_at < now()', [account.id])
    await tx.query('insert into access_token (id, account_id, expires_at) values ($1, $2, $3)', [
      claims.jti,
      account.id,
      expiresAt,
    ])
    return { token: this.jwt.sign(claims), expiresAt, accountId: account.id }
  }

  /** False where the token counts no more. */
  async retire(tx: EntityManager, tokenId: string): Promise<boolean> {
    const [, count] = await tx.query(
      `update access_token set expires_at = least(expires_at, now() + make_interval(secs => $2))
       where id = $1 and expires_at > now()`,
      [tokenId, REFRESHED_GRACE_S],
    )
    return count > 0
  }

  async revoke(tx: EntityManager, tokenId: string): Promise<void> {
    await tx.query('delete from access_token where id = $1', [tokenId])
  }

  /** The claims of a token whose signature and times are right. Throws `Unauthenticated`. */
  verify(token: string): TokenClaims {
    try {
      return this.jwt.verify<TokenClaims>(token)
    } catch {
      throw new Unauthenticated()
    }
  }
}
