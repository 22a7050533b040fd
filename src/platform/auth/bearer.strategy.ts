import { createSecretKey } from 'node:crypto'
import { Inject, Injectable } from '@nestjs/common'
import { PassportStrategy } from '@nestjs/passport'
import { ExtractJwt, Strategy } from 'passport-jwt'
import { CLOCK_TOLERANCE_S, TOKEN_ALGORITHM, TOKEN_ISSUER } from './access-token.js'
import { Authenticator, type TokenClaims } from './authenticator.js'
import type { Principal } from './principal.js'

/** The key that signs access tokens. */
export const JWT_SECRET = Symbol('the key that signs access tokens')

/** `Authorization: Bearer`: an access token. Other tokens are for `TokenStrategy`. */
@Injectable()
export class BearerStrategy extends PassportStrategy(Strategy, 'bearer') {
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
      jsonWebTokenOptions: { clockTolerance: CLOCK_TOLERANCE_S },
    })
  }

  validate(claims: TokenClaims): Promise<Principal> {
    return this.authenticator.principalOf(claims)
  }
}
