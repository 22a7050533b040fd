import jwt from 'jsonwebtoken'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ADMIN, type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { testConfig } from '../../../../test/support/config.js'
import { FlowRunnerUser, Watcher } from '../../../../test/support/flowrunner-user.js'
import { FirebaseIssuer, PROJECT, signingKey } from './firebase-issuer.fake.js'

let issuer: FirebaseIssuer
let api: ApiUnderTest
let admin: FlowRunnerUser

beforeAll(async () => {
  issuer = await FirebaseIssuer.start()
  api = await apiUnderTest({ FIREBASE_PROJECT_ID: PROJECT, FIREBASE_JWKS: issuer.url, FIREBASE_ROLE: 'editor' })
  admin = await FlowRunnerUser.login(api)
})

afterAll(async () => {
  await api.close()
  await issuer.close()
})

function withToken(token: string, path = '/api/auth/me') {
  return api.get(path).set('Authorization', `Bearer ${token}`)
}

describe('with an ID token of Firebase', () => {
  it('every surface is open that takes bearer tokens', async () => {
    const token = issuer.token({ sub: 'everywhere', email: 'everywhere@example.com', name: 'Everywhere' })
    const { body } = await withToken(token).expect(200)
    expect(body).toMatchObject({ email: 'everywhere@example.com', name: 'Everywhere', role: 'editor' })
    expect((await withToken(token, '/api/v1/accounts').expect(200)).body.accounts).toMatchObject([{ id: body.id }])
    await withToken(token, '/api/api-keys').expect(200)
    await withToken(token, '/metrics').expect(403)
  })

  it('one makes API keys, which outlast it', async () => {
    const token = issuer.token({ sub: 'keys', email: 'keys@example.com', exp: Math.floor(Date.now() / 1000) + 60 })
    const post = api.post('/api/api-keys').set('Authorization', `Bearer ${token}`)
    const { body } = await post.send({ name: 'Export' }).expect(201)
    await withToken(body.key).expect(200)
  })

  it('one watches executions', async () => {
    const token = issuer.token({ sub: 'watcher', email: 'watcher@example.com' })
    const id = await new Promise<string>((resolve) => withToken(token).end((_, { body }) => resolve(body.id)))
    const user = Object.assign(Object.create(FlowRunnerUser.prototype), { api, accountId: id, token }) as FlowRunnerUser
    const run = await user.start(await user.flow({ start: { type: 'transform', params: { script: 'return 1' } } }))
    expect(await new Watcher(api, `/ws/executions/${run}?token=${token}`).closed()).toBe(1000)
  })

  it('one is no stranger after a rotation', async () => {
    const claims = { sub: 'rotation', email: 'rotation@example.com' }
    const old = issuer.token(claims)
    const { body } = await withToken(old).expect(200)
    issuer.rotate()
    const status = async () => (await withToken(issuer.token(claims))).status
    // The key is looked for at once, unless another was looked for within the last ten seconds.
    await expect.poll(status, { timeout: 15_000, interval: 250 }).toBe(200)
    expect((await withToken(old).expect(200)).body.id).toBe(body.id)
  })

  it('there is no session to refresh or to end, and no password', async () => {
    const authorization = `Bearer ${issuer.token({ sub: 'no session', email: 'none@example.com' })}`
    for (const path of ['/api/v1/auth/refresh', '/api/v1/auth/logout', '/api/auth/logout']) {
      await api.post(path).set('Authorization', authorization).expect(401)
    }
    await api.post('/api/auth/login').send({ email: 'none@example.com', password: 'x' }).expect(401)
  })

  it('an account is deleted and stays so, at once', async () => {
    const token = issuer.token({ sub: 'gone', email: 'gone@example.com' })
    const { body } = await withToken(token).expect(200)
    await admin.put(`/api/v1/accounts/${body.id}`, { role: 'viewer' }).expect(200)
    expect((await withToken(token).expect(200)).body.role).toBe('viewer')
    await admin.delete(`/api/v1/accounts/${body.id}`).expect(200)
    await withToken(token).expect(401)
    await withToken(issuer.token({ sub: 'gone', email: 'gone@example.com' })).expect(401)
  })
})

describe('an address', () => {
  it('that an account has changed itself is no way into the account, one that an admin gave is', async () => {
    const squatter = await admin.colleague('squatter@example.com')
    await squatter.put(`/api/v1/accounts/${squatter.accountId}`, { email: 'victim@example.com' }).expect(200)
    const victim = await withToken(issuer.token({ sub: 'victim', email: 'victim@example.com' })).expect(200)
    expect(victim.body.id).not.toBe(squatter.accountId)
    const colleague = await admin.colleague('colleague@example.com')
    const { body } = await withToken(issuer.token({ sub: 'colleague', email: 'colleague@example.com' })).expect(200)
    expect(body.id).toBe(colleague.accountId)
  })

  it('that Firebase has not checked is no way into any', async () => {
    const token = issuer.token({ sub: 'impostor', email: ADMIN.email, email_verified: false })
    const { body } = await withToken(token).expect(200)
    expect(body.id).not.toBe(admin.accountId)
    expect(body.role).toBe('editor')
  })
})

it('forgeries are refused on every surface', async () => {
  const { kid, publicKey } = issuer.key
  const claims = jwt.decode(issuer.token(), { json: true }) as object
  const pem = publicKey.export({ format: 'pem', type: 'spki' }) as string
  const { jwtSecret } = testConfig()
  const forged = [
    issuer.token({}, { ...signingKey(), kid }),
    issuer.token({ aud: 'another-project' }),
    issuer.token({ iss: 'https://accounts.google.com' }),
    issuer.token({ exp: 1 }),
    issuer.token({ iat: 4_000_000_000 }),
    jwt.sign(claims, '', { algorithm: 'none', keyid: kid }),
    jwt.sign(claims, jwtSecret, { algorithm: 'HS256', keyid: kid }),
    jwt.sign({ ...claims, iss: 'flowrunner' }, jwtSecret, { algorithm: 'HS256', keyid: kid }),
    jwt.sign(claims, pem.replace(/-----/g, ''), { algorithm: 'HS256', keyid: kid }),
  ]
  for (const token of forged) {
    for (const path of ['/api/auth/me', '/api/v1/accounts', '/api/api-keys', '/metrics']) {
      const { headers } = await withToken(token, path).expect(401)
      expect(headers['www-authenticate']).toBe('Bearer realm="millrace", error="invalid_token"')
    }
  }
})

it('is told to come again while the keys cannot be had', async () => {
  const down = await FirebaseIssuer.start()
  const lonely = await apiUnderTest({ FIREBASE_PROJECT_ID: PROJECT, FIREBASE_JWKS: down.url })
  await down.close()
  try {
    const { headers } = await lonely.get('/api/auth/me').set('Authorization', `Bearer ${down.token()}`).expect(503)
    expect(headers['retry-after']).toBeTruthy()
  } finally {
    await lonely.close()
  }
})
