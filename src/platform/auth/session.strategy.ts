import { Injectable } from '@nestjs/common'
import { PassportStrategy } from '@nestjs/passport'
import type { Request } from 'express'
import { Authenticator } from './authenticator.js'
import type { Principal } from './principal.js'
import { SessionCookie, sessionIn } from './session-cookie.js'
import { textStrategy } from './text.strategy.js'

/** The cookie `sid`: a session. Where its end has moved by this request, the browser is told so too. */
@Injectable()
export class SessionStrategy extends PassportStrategy(
  textStrategy('session', ({ headers }) => sessionIn(headers.cookie)),
  'session',
) {
  constructor(private readonly authenticator: Authenticator) {
    super()
  }

  async validate(session: string, request: Request): Promise<Principal> {
    const principal = await this.authenticator.withSession(session)
    if (principal.credential.renewed) new SessionCookie(request).set(session)
    return principal
  }
}
