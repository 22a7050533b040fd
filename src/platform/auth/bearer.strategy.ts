import { createSecretKey } from 'node:crypto'
import { Inject, Injectable } from '@nestjs/common'
import { PassportStrategy } from '@nestjs/passport'
import type { Request } from 'express'
import { ExtractJwt, Strategy } from 'passport-jwt'
import { CLOCK_TOLERANCE_S, TOKEN_ALGORITHM, TOKEN_ISSUER } from './access-token.js'
import { Authenticator, type TokenClaims } from './authenticator.js'
import { bearerIn } from './bearer.js'
import type { Principal } from './principal.js'

/** The key that signs access tokens. */
export const JWT_SECRET = Symbol('the key that signs access tokens')

/** Tokens whose signature is known to be right: checking it costs more than all else that a request does for its token here. */
const KEPT_TOKENS = 1_000

/**
 * `Authorization: Bearer`: an access token. Other tokens are for `TokenStrategy`. What a token is good for is asked each time; its
 * signature, which cannot change, is checked once for as long as the token is among the last that came.
 */
@Injectable()
export class BearerStrategy extends PassportStrategy(Strategy, 'bearer') {
  private readonly signed = new Map<string, TokenClaims>()

  constructor(
    @Inject(JWT_SECRET) secret: string,
    private readonly authenticator: Authenticator,
  ) {
    super({
      jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
      // A key, not a text: jsonwebtoken would try each time whether the text is a public key, which costs more than the signature.
      secretOrKey: createSecretKey(Buffer.from(secret)) as unknown as Buffer,
      algorithms: [TOKEN_ALGORITHM],
      issuer: TOKEN_ISSUER,
      passReqToCallback: true,
      jsonWebTokenOptions: { clockTolerance: CLOCK_TOLERANCE_S },
    })
  }

  override authenticate(request: Request, options?: object): void {
    const token = bearerIn(request.headers.authorization)
    const claims = token === undefined ? undefined : this.signed.get(token)
    if (!claims || claims.exp + CLOCK_TOLERANCE_S <= Date.now() / 1_000) {
      super.authenticate(request, options)
      return
    }
    this.authenticator.principalOf(claims).then(
      (principal) => this.success(principal),
      (error) => this.error(error),
    )
  }

  async validate(request: Request, claims: TokenClaims): Promise<Principal> {
    const principal = await this.authenticator.principalOf(claims)
    const token = bearerIn(request.headers.authorization)
    if (token !== undefined) this.keep(token, claims)
    return principal
  }

  private keep(token: string, claims: TokenClaims): void {
    this.signed.set(token, claims)
    if (this.signed.size > KEPT_TOKENS) this.signed.delete(this.signed.keys().next().value as string)
  }
}
