import { createHmac } from 'node:crypto'
import type { NestExpressApplication } from '@nestjs/platform-express'
import jwt from 'jsonwebtoken'
import request from 'supertest'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { testConfig } from '../../../../test/support/config.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { createApp } from '../../../app/create-app.js'
import { Authenticator } from '../../../platform/auth/authenticator.js'
import { Sql } from '../../../platform/database/sql.js'
import { createLog } from '../../../platform/log/log.js'
import type { ApiKeyClaims } from '../api-key-tokens.js'
import { CredentialUses } from '../credential-uses.js'

let api: ApiUnderTest
/** A second process on the same database. */
let second: NestExpressApplication
let admin: FlowRunnerUser
let user: FlowRunnerUser
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

beforeEach(async () => {
  user = await admin.colleague(`person${++people}@example.com`)
})

function sql(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  return api.app.get(Sql).query({ name: '', text }, values)
}

async function key(
  of: FlowRunnerUser,
  scopes = ['standard'],
  expiresAt?: string,
): Promise<{ id: string; token: string }> {
  return (await of.post('/api/auth/api-keys', { name: 'CI', scopes, expiresAt }).expect(201)).body
}

function withToken(token: string, path = '/api/auth/me') {
  return api.get(path).set('Authorization', `Bearer ${token}`)
}

function onSecond(token: string) {
  return request(second.getHttpServer()).get('/api/auth/me').set('Authorization', `Bearer ${token}`)
}

describe('API keys, as the reference shows them', () => {
  it('are made with a token that says whose they are', async () => {
    const { body, headers } = await user
      .post('/api/auth/api-keys', { name: 'CI', scopes: ['standard', 'mcp'] })
      .expect(201)
    expect(body).toEqual({
      id: expect.stringMatching(/^key_/),
      name: 'CI',
      token: expect.stringMatching(/^eyJ[\w-]+\.[\w-]+\.[\w-]{43}$/),
      scopes: ['standard', 'mcp'],
      issuedAt: expect.any(String),
      expiresAt: null,
      lastUsedAt: null,
    })
    expect(headers.location).toBe(`/api/auth/api-keys/${body.id}`)
    const { header, payload } = jwt.decode(body.token, { complete: true }) as unknown as {
      header: object
      payload: ApiKeyClaims
    }
    expect(header).toEqual({ alg: 'HS256', typ: 'JWT', kid: body.id })
    expect(payload).toEqual({
      userId: user.accountId,
      companyId: 'default',
      keyId: body.id,
      scopes: ['standard', 'mcp'],
      jti: expect.any(String),
      iat: Math.floor(Date.parse(body.issuedAt) / 1000),
    })
  })

  it('are listed in pages, oldest first, without their tokens', async () => {
    const made = [await key(user), await key(user), await key(user)]
    const { body } = await user.get('/api/auth/api-keys?page=1&size=2').expect(200)
    expect(body).toEqual({
      data: [
        {
          id: made[2]?.id,
          name: 'CI',
          scopes: ['standard'],
          issuedAt: expect.any(String),
          expiresAt: null,
          lastUsedAt: null,
        },
      ],
      total: 3,
      page: 1,
      size: 2,
      pages: 2,
    })
    expect((await user.get(`/api/auth/api-keys/${made[2]?.id}`).expect(200)).body).toEqual(body.data[0])
  })

  it('are revoked, on every process at once', async () => {
    const { id, token } = await key(user)
    await withToken(token).expect(200)
    await onSecond(token).expect(200)
    await user.delete(`/api/auth/api-keys/${id}`).expect(204)
    await withToken(token).expect(401)
    await onSecond(token).expect(401)
    const { body } = await user.delete(`/api/auth/api-keys/${id}`).expect(404)
    expect(body).toMatchObject({ error: 'API_KEY_NOT_FOUND', message: `API key with ID ${id} not found` })
    await user.get(`/api/auth/api-keys/${id}`).expect(404)
  })
})

describe('a key', () => {
  it('opens every surface that takes bearer tokens', async () => {
    const { token } = await key(admin)
    for (const path of ['/api/v1/accounts', '/api/auth/me', '/api/api-keys', '/metrics']) {
      await withToken(token, path).expect(200)
    }
  })

  it('acts with the role that its account has now, and ends with it', async () => {
    const { token } = await key(user)
    await admin.put(`/api/v1/accounts/${user.accountId}`, { role: 'viewer' }).expect(200)
    expect((await onSecond(token).expect(200)).body.role).toBe('viewer')
    await api
      .post('/api/v1/flows')
      .set('Authorization', `Bearer ${token}`)
      .send({ name: 'x', definition: 'x' })
      .expect(403)
    await admin.delete(`/api/v1/accounts/${user.accountId}`).expect(200)
    await withToken(token).expect(401)
    await onSecond(token).expect(401)
    expect(await sql('select from api_key where account_id = $1', [user.accountId])).toEqual([])
  })

  it('outlives a new password and a logout', async () => {
    const { token } = await key(user)
    await user.post('/api/auth/logout').expect(200)
    await admin.put(`/api/v1/accounts/${user.accountId}`, { password: 'another password' }).expect(200)
    await withToken(token).expect(200)
  })

  it('with the scope mcp alone opens MCP channels and nothing else', async () => {
    const mcp = await key(admin, ['mcp'])
    for (const path of ['/api/v1/accounts', '/api/auth/me', '/api/api-keys', '/metrics']) {
      await withToken(mcp.token, path).expect(403)
    }
    const authenticator = api.app.get(Authenticator)
    expect((await authenticator.authenticate(mcp.token, 'mcp')).accountId).toBe(admin.accountId)
    const standard = await key(admin)
    await expect(authenticator.authenticate(standard.token, 'mcp')).rejects.toThrow('scope mcp')
    const both = await key(admin, ['mcp', 'standard', 'mcp'])
    expect((await authenticator.authenticate(both.token, 'mcp')).credential.scopes).toEqual(['mcp', 'standard'])
    expect((await authenticator.authenticate(admin.token, 'mcp')).credential.scopes).toBeUndefined()
  })

  it('ends when it was to end', async () => {
    const { id, token } = await key(user, ['standard'], '2099-12-31T23:59:59Z')
    expect((jwt.decode(token) as ApiKeyClaims).exp).toBe(Date.UTC(2099, 11, 31, 23, 59, 59) / 1000)
    await withToken(token).expect(200)
    await sql(`update api_key set expires_at = now() where id = $1`, [id])
    await withToken(token).expect(401)
    const { body } = await user
      .post('/api/auth/api-keys', { name: 'Late', expiresAt: '2020-01-01T00:00:00Z' })
      .expect(422)
    expect(body.errors).toEqual([{ pointer: '#/expiresAt', detail: 'Expires at must be in the future', code: 'past' }])
  })

  it('makes no others, but may look at them and end itself', async () => {
    const { id, token } = await key(user)
    const authorization = `Bearer ${token}`
    const { body } = await api
      .post('/api/auth/api-keys')
      .set('Authorization', authorization)
      .send({ name: 'x' })
      .expect(403)
    expect(body).toMatchObject({ error: 'FORBIDDEN', message: 'An API key cannot make others' })
    await withToken(token, '/api/auth/api-keys').expect(200)
    await api.post('/api/auth/logout').set('Authorization', authorization).expect(401)
    await api.delete(`/api/auth/api-keys/${id}`).set('Authorization', authorization).expect(204)
    await withToken(token).expect(401)
  })

  it("is nobody else's to see or to end, not even an admin's", async () => {
    const { id } = await key(user)
    for (const other of [admin, await admin.colleague(`person${++people}@example.com`)]) {
      await other.get(`/api/auth/api-keys/${id}`).expect(404)
      await other.delete(`/api/auth/api-keys/${id}`).expect(404)
    }
    expect((await user.get('/api/auth/api-keys').expect(200)).body.total).toBe(1)
  })

  it('tells when it was last used, and costs a write a minute at most', async () => {
    const { id, token } = await key(user)
    const uses = api.app.get(CredentialUses)
    const used = async () => (await user.get(`/api/auth/api-keys/${id}`).expect(200)).body.lastUsedAt
    await withToken(token).expect(200)
    expect(await used()).toBeNull()
    await uses.write()
    const first = await used()
    expect(Math.abs(Date.parse(first) - Date.now())).toBeLessThan(60_000)
    await withToken(token).expect(200)
    await uses.write()
    expect(await used()).toBe(first)
    await sql(`update api_key set last_used_at = now() - interval '2 minutes' where id = $1`, [id])
    await withToken(token).expect(200)
    await uses.write()
    expect(Date.parse(await used())).toBeGreaterThanOrEqual(Date.parse(first))
  })

  it('counts only as it was signed here', async () => {
    const { id, token } = await key(user)
    const other = await key(admin)
    const { jwtSecret } = testConfig()
    const claims = jwt.decode(token) as ApiKeyClaims
    const [header = '', payload = '', signature = ''] = token.split('.')
    const [, , otherSignature = ''] = other.token.split('.')
    const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const forged = {
      'of the secret of access tokens': jwt.sign(claims, jwtSecret, { keyid: id }),
      'without a signature': `${encoded({ alg: 'none', typ: 'JWT', kid: id })}.${payload}.`,
      'of another algorithm': jwt.sign(claims, jwtSecret, { keyid: id, algorithm: 'HS512' }),
      'with a signature of another': `${header}.${payload}.${otherSignature}`,
      'with more scopes': `${header}.${encoded({ ...claims, scopes: ['standard', 'mcp'] })}.${signature}`,
      "with an admin's id": `${header}.${encoded({ ...claims, userId: admin.accountId })}.${signature}`,
      'under the header of an access token': `${encoded({ alg: 'HS256', typ: 'JWT' })}.${payload}.${signature}`,
      'signed anew by hand': `${header}.${payload}.${createHmac('sha256', jwtSecret).update(`${header}.${payload}`).digest('base64url')}`,
      cut: token.slice(0, -1),
    }
    for (const [name, forgery] of Object.entries(forged)) {
      const { status } = await withToken(forgery)
      expect([name, status]).toEqual([name, 401])
    }
    await withToken(token).expect(200)
  })

  it('is no access token, and none of those is a key', async () => {
    const { id, token } = await key(user)
    for (const action of ['refresh', 'logout']) {
      await api.post(`/api/v1/auth/${action}`).set('Authorization', `Bearer ${token}`).expect(401)
    }
    const claims = jwt.decode(user.token) as object
    const { jwtSecret } = testConfig()
    await withToken(jwt.sign(claims, jwtSecret, { keyid: id })).expect(401)
    await withToken(jwt.sign({ ...claims, keyId: id }, jwtSecret, { keyid: id })).expect(401)
  })
})

it('keeps no token, nor writes one into the audit trail', async () => {
  const { id, token } = await key(user)
  await user.delete(`/api/auth/api-keys/${id}`).expect(204)
  const { token: kept } = await key(user)
  const rows = JSON.stringify(await sql('select * from api_key'))
  const entries = await sql(
    `select action, actor_id, before, after, to_json(audit_entry)::text as entry from audit_entry where resource_id = $1 order by seq`,
    [id],
  )
  expect(entries).toMatchObject([
    {
      action: 'apiKey.create',
      actor_id: user.accountId,
      after: { name: 'CI', scopes: ['standard'], expiresAt: null },
    },
    { action: 'apiKey.delete', actor_id: user.accountId, before: { name: 'CI' } },
  ])
  for (const part of [...token.split('.').slice(1), ...kept.split('.').slice(1)]) {
    expect(rows).not.toContain(part)
    expect(JSON.stringify(entries)).not.toContain(part)
  }
})
