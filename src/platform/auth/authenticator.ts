import type { Principal } from './principal.js'
import type { Scope } from './scopes.js'

/** The claims of an access token. Times are seconds since the epoch. */
export interface TokenClaims {
  account_id: string
  username: string
  iss: string
  sub: string
  jti: string
  iat: number
  nbf: number
  exp: number
}

/**
 * Turns credentials into a principal, or throws `Unauthenticated`. The guard knows no accounts; `modules/auth` provides this.
 *
 * What it answers holds at the moment of asking, on every process: a token, a session or a key that was revoked, and an account that was deleted or
 * demoted, a moment ago anywhere is so here too.
 */
export abstract class Authenticator {
  /**
   * A bearer token of any kind, its signature still unchecked: an access token, an API key, an ID token. Throws `Forbidden` where it is
   * not for what lies behind `scope`, which is everything but the MCP channels unless said.
   */
  abstract authenticate(token: string, scope?: Scope): Promise<Principal>

  /** What a session's cookie holds. */
  abstract withSession(session: string): Promise<Principal>

  /** Claims of an access token whose signature, issuer and times were verified. */
  abstract principalOf(claims: TokenClaims): Promise<Principal>

  /** A user name (the e-mail) and a password. Throws `TooManyAttempts` as a login does. `address` is the caller's. */
  abstract withPassword(username: string, password: string, address: string): Promise<Principal>
}
