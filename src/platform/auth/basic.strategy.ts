import { Injectable } from '@nestjs/common'
import { PassportStrategy } from '@nestjs/passport'
import type { Request } from 'express'
import { Strategy } from 'passport'
import { Authenticator } from './authenticator.js'
import type { Principal } from './principal.js'

type Verified = (error: unknown, principal?: Principal | false) => void
type Verify = (username: string, password: string, request: Request, done: Verified) => void

/** RFC 7617: the user name ends at the first colon, the password may hold more of them, both are UTF-8. */
class HttpBasic extends Strategy {
  override name = 'basic'

  constructor(private readonly verify: Verify) {
    super()
  }

  override authenticate(request: Request): void {
    const pair = readBasic(request.headers.authorization)
    if (!pair) {
      this.fail(401)
      return
    }
    this.verify(pair.username, pair.password, request, (error, principal) => {
      if (error) this.error(error)
      else if (principal) this.success(principal)
      else this.fail(401)
    })
  }
}

/** `Authorization: Basic`: an e-mail and a password with every request. */
@Injectable()
export class BasicStrategy extends PassportStrategy(HttpBasic, 'basic') {
  constructor(private readonly authenticator: Authenticator) {
    super()
  }

  validate(username: string, password: string, request: Request): Promise<Principal> {
    return this.authenticator.withPassword(username, password, request.ip ?? '')
  }
}

/** The pair in an `Authorization` header, or undefined where there is none that can be read. */
function readBasic(header: string | undefined): { username: string; password: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/_-]+={0,2}) *$/i.exec(header ?? '')?.[1]
  if (!encoded) return undefined
  const pair = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = pair.indexOf(':')
  return colon < 0 ? undefined : { username: pair.slice(0, colon), password: pair.slice(colon + 1) }
}
