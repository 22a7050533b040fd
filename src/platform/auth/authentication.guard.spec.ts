import { type ExecutionContext, Get } from '@nestjs/common'
import jwt from 'jsonwebtoken'
import { describe, expect, it } from 'vitest'
import type { Config } from '../config/config.js'
import type { Dialects } from '../http/dialects.js'
import { Public, SurfaceController } from '../openapi/operations.js'
import { TOKEN_ALGORITHM, TOKEN_ISSUER } from './access-token.js'
import { Forbidden, Unauthenticated } from './auth.errors.js'
import { AuthenticationGuard } from './authentication.guard.js'
import type { Authenticator } from './authenticator.js'
import { BasicStrategy } from './basic.strategy.js'
import { BearerStrategy } from './bearer.strategy.js'
import { AlsoFor } from './machine-token.js'
import type { Principal } from './principal.js'
import { Roles } from './roles.js'

const SECRET = 'a secret of at least thirty-two characters'
const MACHINE = 'the-token-of-a-machine'

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
      {} as Config,
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

@SurfaceController({ surface: 'flowRunner', path: 'both', resource: 'Both' })
class TakesBoth {
  @Get()
  list() {}

  @Public()
  open() {}

  @Roles('admin', 'editor')
  write() {}

  @Roles('admin')
  @AlsoFor('metricsToken')
  measure() {}
}

@SurfaceController({ surface: 'flwd', path: 'tokens', resource: 'Tokens' })
class TakesTokens {
  @Get()
  list() {}
}

describe('a route', () => {
  const authenticator = {
    principalOf: async ({ sub }: { sub: string }) => ({ accountId: sub, role: sub }),
    withPassword: async (username: string) => ({ accountId: username, role: username }),
  } as unknown as Authenticator
  const dialects = {
    of: (surface: string) => ({ accepts: surface === 'flowRunner' ? ['bearer', 'basic'] : ['bearer'] }),
  } as unknown as Dialects
  const guard = new AuthenticationGuard(
    dialects,
    new BearerStrategy(SECRET, authenticator),
    new BasicStrategy(authenticator),
    { metricsToken: MACHINE } as Config,
  )
  const basic = `Basic ${Buffer.from('user:password').toString('base64')}`

  async function ask(controller: typeof TakesBoth | typeof TakesTokens, handler: string, authorization?: string) {
    const headers: Record<string, string> = {}
    const request = { headers: { authorization }, user: undefined as Principal | undefined }
    const outcome = await guard
      .canActivate(contextOf(request, controller, handler, (name, value) => Object.assign(headers, { [name]: value })))
      .catch((error: unknown) => error)
    return { outcome, caller: request.user?.accountId, challenge: headers['WWW-Authenticate'] }
  }

  it('takes the credentials that its surface accepts, and no others', async () => {
    expect(await ask(TakesBoth, 'list', `Bearer ${token('user')}`)).toMatchObject({ outcome: true, caller: 'user' })
    expect(await ask(TakesBoth, 'list', basic)).toMatchObject({ outcome: true, caller: 'user' })
    expect(await ask(TakesTokens, 'list', `bearer ${token('user')}`)).toMatchObject({ outcome: true, caller: 'user' })
    expect(await ask(TakesTokens, 'list', basic)).toEqual({
      outcome: expect.any(Unauthenticated),
      caller: undefined,
      challenge: 'Bearer realm="millrace"',
    })
  })

  it('says with every refusal what it wants', async () => {
    expect(await ask(TakesBoth, 'list')).toMatchObject({
      outcome: expect.any(Unauthenticated),
      challenge: 'Bearer realm="millrace"',
    })
    expect(await ask(TakesBoth, 'list', 'Bearer x.y.z')).toMatchObject({
      outcome: expect.any(Unauthenticated),
      challenge: 'Bearer realm="millrace", error="invalid_token"',
    })
    expect(await ask(TakesBoth, 'list', 'Basic x')).toMatchObject({
      outcome: expect.any(Unauthenticated),
      challenge: 'Basic realm="millrace", charset="UTF-8"',
    })
  })

  it('that is public asks nothing', async () => {
    expect(await ask(TakesBoth, 'open', 'Bearer x.y.z')).toMatchObject({ outcome: true, caller: undefined })
  })

  it('that is for a machine too takes its token, and as before accounts of its roles', async () => {
    expect(await ask(TakesBoth, 'measure', `Bearer ${MACHINE}`)).toMatchObject({ outcome: true, caller: undefined })
    expect(await ask(TakesBoth, 'measure', `Bearer ${token('admin')}`)).toMatchObject({
      outcome: true,
      caller: 'admin',
    })
    for (const wrong of [`Bearer ${MACHINE}x`, `Basic ${MACHINE}`, MACHINE, undefined])
      expect(await ask(TakesBoth, 'measure', wrong)).toMatchObject({ outcome: expect.any(Unauthenticated) })
    expect(await ask(TakesBoth, 'measure', `Bearer ${token('user')}`)).toMatchObject({ outcome: expect.any(Forbidden) })
    expect(await ask(TakesBoth, 'list', `Bearer ${MACHINE}`)).toMatchObject({ outcome: expect.any(Unauthenticated) })
  })

  it('that names roles takes only those', async () => {
    for (const role of ['admin', 'editor']) {
      expect(await ask(TakesBoth, 'write', `Bearer ${token(role)}`)).toMatchObject({ outcome: true, caller: role })
    }
    for (const role of ['user', 'viewer']) {
      expect(await ask(TakesBoth, 'write', `Bearer ${token(role)}`)).toMatchObject({
        outcome: expect.any(Forbidden),
        caller: undefined,
      })
    }
  })
})

function token(sub: string): string {
  return jwt.sign({ sub }, SECRET, { algorithm: TOKEN_ALGORITHM, issuer: TOKEN_ISSUER, expiresIn: 60 })
}

function contextOf(
  request: object,
  controller: { prototype: object } = Things,
  handler = 'list',
  setHeader: (name: string, value: string) => void = () => {},
): ExecutionContext {
  return {
    getHandler: () => (controller.prototype as Record<string, object>)[handler],
    getClass: () => controller,
    switchToHttp: () => ({ getRequest: () => request, getResponse: () => ({ setHeader }) }),
  } as unknown as ExecutionContext
}
