import { type ExecutionContext, Get } from '@nestjs/common'
import jwt from 'jsonwebtoken'
import { describe, expect, it, vi } from 'vitest'
import type { Config } from '../config/config.js'
import type { Dialects } from '../http/dialects.js'
import { Public, SurfaceController } from '../openapi/operations.js'
import { TOKEN_ALGORITHM, TOKEN_ISSUER } from './access-token.js'
import { CrossOrigin, Forbidden, Unauthenticated } from './auth.errors.js'
import { AuthenticationGuard } from './authentication.guard.js'
import type { Authenticator } from './authenticator.js'
import { BasicStrategy } from './basic.strategy.js'
import { BearerStrategy } from './bearer.strategy.js'
import { AlsoFor } from './machine-token.js'
import type { Principal } from './principal.js'
import { Roles } from './roles.js'
import { SessionStrategy } from './session.strategy.js'
import { TokenStrategy } from './token.strategy.js'

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
      {} as TokenStrategy,
      {} as BasicStrategy,
      {} as SessionStrategy,
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

@SurfaceController({ surface: 'flow8', path: 'sessions', resource: 'Sessions' })
class TakesSessions {
  @Get()
  list() {}
}

const accepts: Record<string, string[]> = {
  flowRunner: ['bearer', 'basic'],
  flow8: ['bearer', 'session'],
  flwd: ['bearer'],
}

type Controller = typeof TakesBoth | typeof TakesTokens | typeof TakesSessions

describe('a route', () => {
  const authenticator = {
    principalOf: async ({ sub }: { sub: string }) => ({ accountId: sub, role: sub }),
    authenticate: async (text: string) => ({ accountId: `owner of ${text}` }),
    withSession: async (session: string) => ({ accountId: `owner of ${session}`, credential: {} }),
    withPassword: async (username: string) => ({ accountId: username, role: username }),
  } as unknown as Authenticator
  const dialects = {
    of: (surface: string) => ({ accepts: accepts[surface] }),
  } as unknown as Dialects
  const guard = new AuthenticationGuard(
    dialects,
    new BearerStrategy(SECRET, authenticator),
    new TokenStrategy(authenticator),
    new BasicStrategy(authenticator),
    new SessionStrategy(authenticator),
    { metricsToken: MACHINE } as Config,
  )
  const basic = `Basic ${Buffer.from('user:password').toString('base64')}`

  function ask(controller: Controller, handler: string, authorization?: string) {
    return askWith(controller, handler, { authorization })
  }

  async function askWith(
    controller: Controller,
    handler: string,
    given: Record<string, string | undefined>,
    method = 'GET',
  ) {
    const headers: Record<string, string> = {}
    const request = { method, headers: given, host: 'here', user: undefined as Principal | undefined }
    const outcome = await guard
      .canActivate(contextOf(request, controller, handler, (name, value) => Object.assign(headers, { [name]: value })))
      .catch((error: unknown) => error)
    return { outcome, caller: request.user?.accountId, challenge: headers['WWW-Authenticate'] }
  }

  it('asks of a token that it has seen whose it is and whether its time is over, each time', async () => {
    const known = token('user')
    expect(await ask(TakesBoth, 'list', `Bearer ${known}`)).toMatchObject({ outcome: true, caller: 'user' })
    const { principalOf } = authenticator
    try {
      authenticator.principalOf = async () => {
        throw new Unauthenticated()
      }
      expect(await ask(TakesBoth, 'list', `Bearer ${known}`)).toMatchObject({ outcome: expect.any(Unauthenticated) })
    } finally {
      authenticator.principalOf = principalOf
    }
    const [head, body] = known.split('.')
    const forged = `${head}.${body}.${'A'.repeat(43)}`
    expect(await ask(TakesBoth, 'list', `Bearer ${forged}`)).toMatchObject({ outcome: expect.any(Unauthenticated) })
    expect(await ask(TakesBoth, 'list', `Bearer ${known}`)).toMatchObject({ outcome: true, caller: 'user' })
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 66_000 })
    try {
      expect(await ask(TakesBoth, 'list', `Bearer ${known}`)).toMatchObject({ outcome: expect.any(Unauthenticated) })
    } finally {
      vi.useRealTimers()
    }
  })

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

  it('takes an API key and an ID token for what their headers say, and leaves them to who knows them', async () => {
    for (const header of [
      { alg: 'HS256', kid: 'key_1' },
      { alg: 'RS256', kid: 'abc' },
    ]) {
      const other = `${Buffer.from(JSON.stringify(header)).toString('base64url')}.e30.x`
      expect(await ask(TakesTokens, 'list', `Bearer ${other}`)).toMatchObject({ caller: `owner of ${other}` })
    }
  })

  it('takes the cookie of a session where its surface does, unless there is an Authorization', async () => {
    const session = 's'.repeat(43)
    const cookie = `theme=dark; sid=${session}`
    expect(await askWith(TakesSessions, 'list', { cookie })).toMatchObject({ caller: `owner of ${session}` })
    expect(await askWith(TakesBoth, 'list', { cookie })).toMatchObject({ outcome: expect.any(Unauthenticated) })
    for (const other of [{ cookie: 'sid=short' }, { cookie, authorization: 'Bearer x.y.z' }])
      expect(await askWith(TakesSessions, 'list', other)).toMatchObject({ outcome: expect.any(Unauthenticated) })
  })

  it('changes nothing by the cookie of a session for a page of another origin', async () => {
    const cookie = `sid=${'s'.repeat(43)}`
    for (const from of [{}, { origin: 'http://here' }, { 'sec-fetch-site': 'same-origin' }])
      expect(await askWith(TakesSessions, 'list', { cookie, ...from }, 'POST')).toMatchObject({ outcome: true })
    const foreign = { cookie, origin: 'http://there' }
    expect(await askWith(TakesSessions, 'list', foreign, 'POST')).toMatchObject({ outcome: expect.any(CrossOrigin) })
    expect(await askWith(TakesSessions, 'list', foreign, 'GET')).toMatchObject({ outcome: true })
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
