import { type ExecutionContext, Get } from '@nestjs/common'
import jwt from 'jsonwebtoken'
import { describe, expect, it } from 'vitest'
import type { Dialects } from '../http/dialects.js'
import { TOKEN_ALGORITHM, TOKEN_ISSUER } from './access-token.js'
import { AuthenticationGuard } from './authentication.guard.js'
import type { Authenticator } from './authenticator.js'
import type { BasicStrategy } from './basic.strategy.js'
import { BearerStrategy } from './bearer.strategy.js'
import type { Principal } from './principal.js'

const SECRET = 'a secret of at least thirty-two characters'

class Things {
  @Get()
  list() {}
}

describe('requests at the same time', () => {
  it('each get their own principal, in whatever order the answers come', async () => {
    const answers = new Map<string, (principal: Principal) => void>()
    const authenticator = {
      principalOf: ({ sub }: { sub: string }) => new Promise((resolve) => answers.set(sub, resolve)),
    } as unknown as Authenticator
    const guard = new AuthenticationGuard(
      {} as Dialects,
      new BearerStrategy(SECRET, authenticator),
      {} as BasicStrategy,
    )
    const names = Array.from({ length: 20 }, (_, index) => `account_${index}`)
    const requests = names.map((name) => ({
      headers: { authorization: `Bearer ${token(name)}` } as object,
      user: null,
    }))
    const passing = requests.map((request) => guard.canActivate(contextOf(request)))
    for (const name of [...answers.keys()].reverse()) answers.get(name)?.({ accountId: name } as Principal)
    expect(await Promise.all(passing)).toEqual(names.map(() => true))
    expect(requests.map(({ user }) => user)).toEqual(names.map((accountId) => ({ accountId })))
  })
})

function token(sub: string): string {
  return jwt.sign({ sub }, SECRET, { algorithm: TOKEN_ALGORITHM, issuer: TOKEN_ISSUER, expiresIn: 60 })
}

function contextOf(request: object): ExecutionContext {
  return {
    getHandler: () => Things.prototype.list,
    getClass: () => Things,
    switchToHttp: () => ({ getRequest: () => request, getResponse: () => ({ setHeader() {} }) }),
  } as unknown as ExecutionContext
}
