import type { NestExpressApplication } from '@nestjs/platform-express'
import jwt from 'jsonwebtoken'
import request from 'supertest'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ADMIN, type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { testConfig } from '../../../../test/support/config.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { likeReference } from '../../../../test/support/reference.js'
import { createApp } from '../../../app/create-app.js'
import type { TokenClaims } from '../../../platform/auth/authenticator.js'
import { Sql } from '../../../platform/database/sql.js'
import { createLog } from '../../../platform/log/log.js'
import * as examples from './auth.examples.js'

const PASSWORD = 'correct horse battery'

let api: ApiUnderTest
/** A second process on the same database. */
let second: NestExpressApplication
let admin: FlowRunnerUser
let people = 0

beforeAll(async () => {
  api = await apiUnderTest()
  const config = testConfig({ DATABASE_URL: api.databaseUrl })
  second = await createApp({ config, log: createLog(config) })
  await second.listen(0, '127.0.0.1')
  admin = await FlowRunnerUser.login(api)
})

afterAll(async () => {
  await second.close()
  await api.close()
})

beforeEach(() => sql('delete from login_attempt'))

function sql(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  return api.app.get(Sql).query({ name: '', text }, values)
}

/** An account whose e-mail nobody else has. */
async function person(): Promise<FlowRunnerUser> {
  return await admin.colleague(`person${++people}@example.com`)
}

function login(username: string, password: string) {
  return api.post('/api/v1/auth/login').send({ username, password })
}

function withToken(token: string) {
  return api.get('/api/v1/accounts').set('Authorization', `Bearer ${token}`)
}

function onSecond(token: string) {
  return request(second.getHttpServer()).get('/api/v1/accounts').set('Authorization', `Bearer ${token}`)
}

function basic(email: string, password: string): string {
  return `Basic ${Buffer.from(`${email}:${password}`).toString('base64')}`
}

function shape(body: { token: string }): unknown {
  return likeReference({ ...body, token: body.token.replace(/^eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9\..+$/, '$token') })
}

const DOCUMENTED = { ...(likeReference(examples.session) as object), token: '$token' }

describe('authentication, as the reference shows it', () => {
  it('logs in', async () => {
    const { body } = await login(ADMIN.email, ADMIN.password).expect(200)
    expect(shape(body)).toEqual(DOCUMENTED)
    expect(body.account_id).toBe(admin.accountId)
    await withToken(body.token).expect(200)
  })

  it('refreshes a token', async () => {
    const user = await person()
    const { body } = await user.post('/api/v1/auth/refresh').expect(200)
    expect(shape(body)).toEqual(DOCUMENTED)
    expect(body.account_id).toBe(user.accountId)
    expect(body.token).not.toBe(user.token)
    await withToken(body.token).expect(200)
  })

  it('logs out', async () => {
    const user = await person()
    const { body } = await user.post('/api/v1/auth/logout').expect(200)
    expect(body).toEqual(examples.loggedOut)
    await withToken(user.token).expect(401)
    await onSecond(user.token).expect(401)
  })

  it('is published with the same examples', () => {
    const shown = api.spec.operations
      .filter(({ operation }) => operation.operationId.startsWith('flowRunner_auth_'))
      .map(({ operation }) => [
        operation.operationId,
        Object.values(operation.responses[200]?.content?.['application/json']?.examples ?? {})[0]?.value,
      ])
    expect(Object.fromEntries(shown)).toEqual({
      flowRunner_auth_login: examples.session,
      flowRunner_auth_refresh: examples.session,
      flowRunner_auth_logout: examples.loggedOut,
    })
  })
})

describe('a token', () => {
  it('says whose it is and lives for 24 hours', async () => {
    const user = await person()
    const { body } = await login(`person${people}@example.com`, PASSWORD).expect(200)
    const claims = jwt.decode(body.token, { json: true }) as unknown as TokenClaims
    expect(claims).toMatchObject({
      account_id: user.accountId,
      sub: user.accountId,
      username: `person${people}@example.com`,
      iss: 'flowrunner',
      jti: expect.stringMatching(/^token_/),
    })
    expect(claims.nbf).toBe(claims.iat)
    expect(claims.exp - claims.iat).toBe(86_400)
    expect(body.expires_at).toBe(new Date(claims.exp * 1000).toISOString())
  })

  it('counts only as it was signed here, in its time', async () => {
    const user = await person()
    const claims = jwt.decode(user.token, { json: true }) as unknown as TokenClaims
    const { jwtSecret } = testConfig()
    const now = Math.floor(Date.now() / 1000)
    const forged = {
      'signed anew': jwt.sign(claims, jwtSecret, { algorithm: 'HS256' }),
      'of another secret': jwt.sign(claims, 'x'.repeat(40), { algorithm: 'HS256' }),
      'without a signature': jwt.sign(claims, '', { algorithm: 'none' }),
      'of another algorithm': jwt.sign(claims, jwtSecret, { algorithm: 'HS512' }),
      'of another issuer': jwt.sign({ ...claims, iss: 'somebody' }, jwtSecret),
      expired: jwt.sign({ ...claims, exp: now - 60 }, jwtSecret),
      early: jwt.sign({ ...claims, nbf: now + 60 }, jwtSecret),
      'never given out': jwt.sign({ ...claims, jti: 'token_0' }, jwtSecret),
      'for somebody else': jwt.sign({ ...claims, sub: admin.accountId, account_id: admin.accountId }, jwtSecret),
      cut: user.token.slice(0, -1),
    }
    for (const [name, token] of Object.entries(forged)) {
      const { headers } = await withToken(token).expect(name === 'signed anew' ? 200 : 401)
      if (name !== 'signed anew')
        expect(headers['www-authenticate']).toBe('Bearer realm="millrace", error="invalid_token"')
    }
  })

  it('that was refreshed ends within a minute', async () => {
    const user = await person()
    await user.post('/api/v1/auth/refresh').expect(200)
    await withToken(user.token).expect(200)
    const { jti } = jwt.decode(user.token, { json: true }) as unknown as TokenClaims
    const [row] = await sql(
      `update access_token set expires_at = expires_at - interval '1 minute' where id = $1
       returning expires_at <= now() as ended`,
      [jti],
    )
    expect(row?.ended).toBe(true)
    await withToken(user.token).expect(401)
    await user.post('/api/v1/auth/refresh').expect(401)
  })

  it('ends with a new password, everywhere', async () => {
    const user = await person()
    const other = await login(`person${people}@example.com`, PASSWORD)
    await user.put(`/api/v1/accounts/${user.accountId}`, { password: 'another password' }).expect(200)
    for (const token of [user.token, other.body.token]) {
      await withToken(token).expect(401)
      await onSecond(token).expect(401)
    }
    await login(`person${people}@example.com`, PASSWORD).expect(401)
    await login(`person${people}@example.com`, 'another password').expect(200)
  })

  it('ends with its account, and follows its role at once, everywhere', async () => {
    const user = await person()
    expect((await onSecond(user.token)).body.total).toBe(1)
    await admin.put(`/api/v1/accounts/${user.accountId}`, { role: 'admin' }).expect(200)
    expect((await onSecond(user.token)).body.total).toBeGreaterThan(1)
    await admin.put(`/api/v1/accounts/${user.accountId}`, { role: 'viewer' }).expect(200)
    expect((await onSecond(user.token)).body.total).toBe(1)
    await admin.delete(`/api/v1/accounts/${user.accountId}`).expect(200)
    await onSecond(user.token).expect(401)
    await login(`person${people}@example.com`, PASSWORD).expect(401)
  })
})

describe('a login that fails', () => {
  it('says the same of a wrong password as of an unknown account', async () => {
    const wrong = await login(ADMIN.email, 'not the password').expect(401)
    const unknown = await login('nobody@example.com', 'not the password').expect(401)
    expect(wrong.body).toMatchObject({
      type: '/problems/unauthorized',
      detail: 'The user name or the password is wrong',
      error: { code: 'unauthorized', message: 'The user name or the password is wrong' },
    })
    expect({ ...unknown.body, requestId: '' }).toEqual({ ...wrong.body, requestId: '' })
  })

  it('takes the e-mail in any case, and the password in one only', async () => {
    await login(ADMIN.email.toUpperCase(), ADMIN.password).expect(200)
    await login(ADMIN.email, ADMIN.password.toUpperCase()).expect(401)
  })

  it.each(['somebody', 'nobody'])(
    'waits after five failures in a minute on all processes together, for %s',
    async (who) => {
      const user = await person()
      const email = who === 'somebody' ? `person${people}@example.com` : `ghost${people}@example.com`
      const elsewhere = () =>
        request(second.getHttpServer()).post('/api/v1/auth/login').send({ username: email, password: 'wrong one' })
      for (let failure = 0; failure < 3; failure++) await login(email.toUpperCase(), 'wrong one').expect(401)
      for (let failure = 0; failure < 2; failure++) await elsewhere().expect(401)
      await elsewhere().expect(429)
      const { headers, body } = await login(email, PASSWORD).expect(429)
      expect(Number(headers['retry-after'])).toBeGreaterThan(0)
      expect(Number(headers['retry-after'])).toBeLessThanOrEqual(60)
      expect(body).toMatchObject({ type: '/problems/too-many-logins', error: { code: 'rate_limited' } })
      await withToken(user.token).expect(200)
      await sql('update login_attempt set window_ends_at = now()')
      await login(email, PASSWORD).expect(who === 'somebody' ? 200 : 401)
    },
  )

  it('lets no more guesses through when they come at once', async () => {
    const statuses = await Promise.all(
      Array.from({ length: 20 }, (_, guess) => login(ADMIN.email, `guess ${guess}`).then(({ status }) => status)),
    )
    expect(statuses.filter((status) => status === 401)).toHaveLength(5)
    expect(statuses.filter((status) => status === 429)).toHaveLength(15)
  })

  it('does not count those that succeed', async () => {
    for (let time = 0; time < 8; time++) await login(ADMIN.email, ADMIN.password).expect(200)
  })

  it('is refused by name for what its body lacks', async () => {
    const { body } = await api.post('/api/v1/auth/login').send({ username: 'a@example.com', name: 'a' }).expect(422)
    const pointers = body.errors.map(({ pointer }: { pointer: string }) => pointer)
    expect(pointers.sort()).toEqual(['#/name', '#/password'])
  })
})

describe('HTTP Basic', () => {
  it('is taken instead of a token, passwords with colons and umlauts too', async () => {
    const user = await person()
    await user.put(`/api/v1/accounts/${user.accountId}`, { password: 'grüße:an:alle' }).expect(200)
    for (let time = 0; time < 2; time++) {
      const { body } = await api
        .get('/api/v1/accounts')
        .set('Authorization', basic(`person${people}@example.com`, 'grüße:an:alle'))
        .expect(200)
      expect(body.accounts[0].id).toBe(user.accountId)
    }
  })

  it('counts what fails, and forgets a password as soon as it is changed', async () => {
    const user = await person()
    const email = `person${people}@example.com`
    const ask = (password: string) => api.get('/api/v1/accounts').set('Authorization', basic(email, password))
    await ask(PASSWORD).expect(200)
    const { headers } = await ask('wrong one').expect(401)
    expect(headers['www-authenticate']).toBe('Basic realm="millrace", charset="UTF-8"')
    for (let failure = 0; failure < 4; failure++) await ask('wrong one').expect(401)
    await ask('wrong one').expect(429)
    await ask(PASSWORD).expect(200)
    await user.put(`/api/v1/accounts/${user.accountId}`, { password: 'another password' }).expect(200)
    await sql('delete from login_attempt')
    await ask(PASSWORD).expect(401)
    await ask('another password').expect(200)
  })

  it('has no token to refresh or to end', async () => {
    const authorization = basic(ADMIN.email, ADMIN.password)
    for (const action of ['refresh', 'logout']) {
      await api.post(`/api/v1/auth/${action}`).set('Authorization', authorization).expect(401)
    }
  })
})

it('audits every login, its failures without what was typed', async () => {
  const user = await person()
  await login(`person${people}@example.com`, 'hunter22').expect(401)
  await login('hunter22', 'hunter22').expect(401)
  await user.post('/api/v1/auth/logout').expect(200)
  const entries = await sql(
    `select action, outcome, actor_id, resource_id, ip, request_id, to_json(audit_entry)::text as entry
     from audit_entry where action like 'auth.%' order by seq desc limit 4`,
  )
  expect(entries.reverse()).toMatchObject([
    { action: 'auth.login', outcome: 'success', actor_id: user.accountId, resource_id: user.accountId },
    { action: 'auth.login', outcome: 'failure', actor_id: null, resource_id: user.accountId },
    { action: 'auth.login', outcome: 'failure', actor_id: null, resource_id: null },
    { action: 'auth.logout', outcome: 'success', actor_id: user.accountId },
  ])
  for (const entry of entries) {
    expect(entry).toMatchObject({
      ip: expect.stringContaining('127.0.0.1'),
      request_id: expect.stringMatching(/^req_/),
    })
    expect(entry.entry).not.toContain('hunter22')
  }
})
