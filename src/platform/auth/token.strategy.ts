import { Injectable } from '@nestjs/common'
import { PassportStrategy } from '@nestjs/passport'
import { Authenticator } from './authenticator.js'
import { bearerIn } from './bearer.js'
import type { Principal } from './principal.js'
import { textStrategy } from './text.strategy.js'

/** `Authorization: Bearer`: a token of any other kind than access tokens: an API key, an ID token. */
@Injectable()
export class TokenStrategy extends PassportStrategy(
  textStrategy('token', ({ headers }) => bearerIn(headers.authorization)),
  'token',
) {
  constructor(private readonly authenticator: Authenticator) {
    super()
  }

  validate(token: string): Promise<Principal> {
    return this.authenticator.authenticate(token)
  }
}
