import type { Principal } from './principal.js'

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
 * What it answers holds at the moment of asking, on every process: a token that was revoked, and an account that was deleted or
 * demoted, a moment ago anywhere is so here too.
 */
export abstract class Authenticator {
  /** A whole token, its signature still unchecked. For callers that are no HTTP request, such as a WebSocket's upgrade. */
  abstract authenticate(token: string): Promise<Principal>

  /** Claims whose signature, issuer and times were verified. */
  abstract principalOf(claims: TokenClaims): Promise<Principal>

  /** A user name (the e-mail) and a password. Throws `TooManyAttempts` as a login does. `address` is the caller's. */
  abstract withPassword(username: string, password: string, address: string): Promise<Principal>
}
