import type { NestExpressApplication } from '@nestjs/platform-express'
import request, { type Response } from 'supertest'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ADMIN, type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { testConfig } from '../../../../test/support/config.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { createApp } from '../../../app/create-app.js'
import { Sql } from '../../../platform/database/sql.js'
import { createLog } from '../../../platform/log/log.js'
import { CredentialUses } from '../credential-uses.js'

const PASSWORD = 'correct horse battery'

let api: ApiUnderTest
/** A second process on the same database, behind a proxy that it trusts. */
let second: NestExpressApplication
let admin: FlowRunnerUser
let people = 0

beforeAll(async () => {
  api = await apiUnderTest()
  const config = testConfig({ DATABASE_URL: api.databaseUrl, TRUST_PROXY: 'loopback' })
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

/** Somebody with an account, and an e-mail that nobody else has. */
async function person(): Promise<{ id: string; email: string }> {
  const email = `person${++people}@example.com`
  return { id: (await admin.colleague(email)).accountId, email }
}

function login(email: string, password = PASSWORD) {
  return api.post('/api/auth/login').send({ email, password })
}

/** What the answer makes of the cookie. */
function setCookie({ headers }: Pick<Response, 'headers'>): string {
  expect(headers['set-cookie']).toHaveLength(1)
  return headers['set-cookie']?.[0] ?? ''
}

/** A `Cookie` header with the session of a new login. */
async function session(email: string): Promise<string> {
  return setCookie(await login(email).expect(200)).split(';')[0] ?? ''
}

function me(cookie: string) {
  return api.get('/api/auth/me').set('Cookie', cookie)
}

function meOnSecond(cookie: string) {
  return request(second.getHttpServer()).get('/api/auth/me').set('Cookie', cookie)
}

describe('a session, as the reference shows it', () => {
  it('begins with a login, in a cookie that scripts cannot read and other sites cannot send', async () => {
    const { id, email } = await person()
    const answer = await login(email).expect(200)
    expect(answer.body).toEqual({ id, email, name: email })
    expect(setCookie(answer).split('; ').sort()).toEqual([
      expect.stringMatching(/^Expires=/),
      'HttpOnly',
      'Max-Age=3600',
      'Path=/',
      'SameSite=Strict',
      expect.stringMatching(/^sid=[\w-]{43}$/),
    ])
  })

  it('begins with `curl -d` as well, which calls its JSON a form; a form is none', async () => {
    const { email } = await person()
    const post = (body: string, headers = {}) =>
      api.post('/api/auth/login').type('application/x-www-form-urlencoded').set(headers).send(body)
    const json = JSON.stringify({ email, password: PASSWORD })
    setCookie(await post(json).expect(200))
    await post(json, { Origin: 'http://127.0.0.1' }).expect(415)
    await post(json, { 'Sec-Fetch-Site': 'cross-site' }).expect(415)
    await post(`email=${email}&password=x`).expect(415)
  })

  it('says who is asking', async () => {
    const { id, email } = await person()
    const { body } = await me(await session(email)).expect(200)
    expect(body).toEqual({ id, email, name: email, role: 'user', companyId: 'default' })
  })

  it('ends with the logout, everywhere', async () => {
    const cookie = await session((await person()).email)
    await meOnSecond(cookie).expect(200)
    const answer = await api.post('/api/auth/logout').set('Cookie', cookie).expect(200)
    expect(answer.body).toEqual({ message: 'Logged out' })
    expect(setCookie(answer)).toMatch(/^sid=;.*Expires=Thu, 01 Jan 1970/)
    await me(cookie).expect(401)
    await meOnSecond(cookie).expect(401)
    await api.post('/api/auth/logout').set('Cookie', cookie).expect(401)
  })
})

describe('the cookie', () => {
  it('never travels without TLS once it came by it, be it to a trusted proxy', async () => {
    const byProxy = await request(second.getHttpServer())
      .post('/api/auth/login')
      .set('X-Forwarded-Proto', 'https')
      .send(ADMIN)
      .expect(200)
    expect(setCookie(byProxy)).toContain('; Secure')
    const untrusted = await login(ADMIN.email, ADMIN.password).set('X-Forwarded-Proto', 'https').expect(200)
    expect(setCookie(untrusted)).not.toContain('Secure')
  })

  it('is not what the table holds', async () => {
    const cookie = await session((await person()).email)
    const rows = JSON.stringify(await sql('select * from session'))
    expect(rows).not.toContain(cookie.slice('sid='.length))
  })

  it('is another with each login, and the one that the browser had is worth nothing any more', async () => {
    const [mine, other] = [await person(), await person()]
    const before = await session(mine.email)
    const elsewhere = await session(mine.email)
    const after = setCookie(await login(other.email).set('Cookie', before).expect(200)).split(';')[0] ?? ''
    expect(after).not.toBe(before)
    await me(before).expect(401)
    await meOnSecond(before).expect(401)
    expect((await me(after).expect(200)).body.id).toBe(other.id)
    expect((await me(elsewhere).expect(200)).body.id).toBe(mine.id)
  })

  it('is sent again, and lasts longer, once it was used a minute after its last use', async () => {
    const { id, email } = await person()
    const cookie = await session(email)
    const left = async () => {
      const [row] = await sql(
        'select extract(epoch from expires_at - now())::integer as left from session where account_id = $1',
        [id],
      )
      return Number(row?.left)
    }
    const pass = (minutes: number) =>
      sql('update session set expires_at = expires_at - make_interval(mins => $2) where account_id = $1', [id, minutes])
    expect((await me(cookie).expect(200)).headers).not.toHaveProperty('set-cookie')
    await pass(50)
    const answer = await me(cookie).expect(200)
    expect(setCookie(answer)).toMatch(new RegExp(`^${cookie}; Max-Age=3600;.*HttpOnly; SameSite=Strict$`))
    await api.app.get(CredentialUses).write()
    expect(await left()).toBeGreaterThan(3_600)
    await pass(62)
    await me(cookie).expect(401)
  })

  it('is taken by FacilFlow too, and by nobody who has no use for it', async () => {
    const cookie = await session((await person()).email)
    await api.get('/api/api-keys').set('Cookie', cookie).expect(200)
    await api.get('/api/v1/accounts').set('Cookie', cookie).expect(401)
    await api.get('/metrics').set('Cookie', cookie).expect(401)
  })
})

describe('a session ends at once, everywhere', () => {
  it('with a new password', async () => {
    const { id, email } = await person()
    const cookies = [await session(email), await session(email)]
    await admin.put(`/api/v1/accounts/${id}`, { password: 'another password' }).expect(200)
    for (const cookie of cookies) {
      await me(cookie).expect(401)
      await meOnSecond(cookie).expect(401)
    }
  })

  it('with its account, and follows its role before', async () => {
    const { id, email } = await person()
    const cookie = await session(email)
    await admin.put(`/api/v1/accounts/${id}`, { role: 'viewer' }).expect(200)
    expect((await meOnSecond(cookie).expect(200)).body.role).toBe('viewer')
    await admin.delete(`/api/v1/accounts/${id}`).expect(200)
    await meOnSecond(cookie).expect(401)
    await login(email).expect(401)
  })
})

describe('with a cookie, something is changed', () => {
  const newKey = { name: 'From a browser' }

  it("by this server's own pages and by programs, not by other origins", async () => {
    const cookie = await session((await person()).email)
    const post = (headers: Record<string, string>) =>
      api.post('/api/auth/api-keys').set('Cookie', cookie).set(headers).send(newKey)
    await post({}).expect(201)
    await post({ 'Sec-Fetch-Site': 'same-origin', Origin: 'https://anything.example' }).expect(201)
    await post({ Host: 'flows.example.com', Origin: 'https://flows.example.com' }).expect(201)
    const foreign: Record<string, string>[] = [
      { 'Sec-Fetch-Site': 'cross-site' },
      { 'Sec-Fetch-Site': 'same-site' },
      { Origin: 'https://evil.example' },
      { Origin: 'null' },
      { Host: 'flows.example.com', Origin: 'https://evil.example' },
    ]
    for (const headers of foreign) {
      const { body } = await post(headers).expect(403)
      expect(body).toMatchObject({ type: '/problems/cross-origin', error: 'FORBIDDEN', statusCode: 403 })
    }
  })

  it('as JSON only', async () => {
    const cookie = await session((await person()).email)
    for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {
      const ask = (path: string) => api.post(path).set('Cookie', cookie).set('Content-Type', type)
      await ask('/api/auth/api-keys').send(JSON.stringify(newKey)).expect(415)
      await ask('/api/auth/logout').send('{}').expect(403)
      const login = api.post('/api/auth/login').set('Content-Type', type).set('Origin', 'https://evil.example')
      await login.send(JSON.stringify(ADMIN)).expect(415)
    }
    await me(cookie).expect(200)
  })

  it('behind a proxy under the name that it tells', async () => {
    const cookie = await session((await person()).email)
    const post = (origin: string) =>
      request(second.getHttpServer())
        .post('/api/auth/logout')
        .set({ Cookie: cookie, 'X-Forwarded-Host': 'flows.example.com', Origin: origin })
    await post('https://evil.example').expect(403)
    await post('https://flows.example.com').expect(200)
  })
})

describe('a login that fails', () => {
  it('says the same of a wrong password as of an unknown account, and sets nothing', async () => {
    const wrong = await login(ADMIN.email, 'not the password').expect(401)
    const unknown = await login('nobody@example.com', 'not the password').expect(401)
    expect(wrong.body).toMatchObject({
      error: 'UNAUTHORIZED',
      message: 'The user name or the password is wrong',
      statusCode: 401,
    })
    expect({ ...unknown.body, requestId: '' }).toEqual({ ...wrong.body, requestId: '' })
    expect(wrong.headers).not.toHaveProperty('set-cookie')
  })

  it('counts together with those of FlowRunner, on all processes', async () => {
    const { email } = await person()
    const elsewhere = () =>
      request(second.getHttpServer()).post('/api/auth/login').send({ email, password: 'wrong one' })
    const flowRunner = () => api.post('/api/v1/auth/login').send({ username: email, password: 'wrong one' })
    for (let failure = 0; failure < 2; failure++) await login(email, 'wrong one').expect(401)
    for (let failure = 0; failure < 2; failure++) await elsewhere().expect(401)
    await flowRunner().expect(401)
    const { headers, body } = await login(email).expect(429)
    expect(Number(headers['retry-after'])).toBeGreaterThan(0)
    expect(body).toMatchObject({ type: '/problems/too-many-logins', error: 'RATE_LIMITED' })
    await flowRunner().expect(429)
  })

  it('is refused by name for what its body lacks', async () => {
    const { body } = await api.post('/api/auth/login').send({ email: 'a@example.com', username: 'a' }).expect(422)
    const pointers = body.errors.map(({ pointer }: { pointer: string }) => pointer)
    expect(pointers.sort()).toEqual(['#/password', '#/username'])
  })
})

describe('with a bearer token', () => {
  it('one is known here as well, and may log out', async () => {
    const user = await admin.colleague(`person${++people}@example.com`)
    expect((await user.get('/api/auth/me').expect(200)).body.id).toBe(user.accountId)
    await user.post('/api/auth/logout').expect(200)
    await user.get('/api/auth/me').expect(401)
    await user.get('/api/v1/accounts').expect(401)
  })

  it('a cookie beside it does not count, be the token wrong', async () => {
    const cookie = await session((await person()).email)
    await me(cookie).set('Authorization', 'Bearer x.y.z').expect(401)
    await me(cookie)
      .set('Authorization', `Basic ${Buffer.from('a:b').toString('base64')}`)
      .expect(401)
  })
})

it('audits logins, good and failed, and logouts', async () => {
  const { id, email } = await person()
  const cookie = await session(email)
  await login(email, 'hunter22').expect(401)
  await api.post('/api/auth/logout').set('Cookie', cookie).expect(200)
  const entries = await sql(
    `select action, outcome, actor_id, resource_id, to_json(audit_entry)::text as entry
     from audit_entry where action like 'auth.%' order by seq desc limit 3`,
  )
  expect(entries.reverse()).toMatchObject([
    { action: 'auth.login', outcome: 'success', actor_id: id },
    { action: 'auth.login', outcome: 'failure', actor_id: null, resource_id: id },
    { action: 'auth.logout', outcome: 'success', actor_id: id },
  ])
  for (const { entry } of entries) expect(entry).not.toMatch(new RegExp(`hunter22|${cookie.slice(4)}`))
})
