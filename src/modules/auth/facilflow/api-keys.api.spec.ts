import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'

let api: ApiUnderTest
let user: FlowRunnerUser
let other: FlowRunnerUser

beforeAll(async () => {
  api = await apiUnderTest()
  const admin = await FlowRunnerUser.login(api)
  user = await admin.colleague('user@example.com')
  other = await admin.colleague('other@example.com')
})

afterAll(() => api.close())

it('FacilFlow makes API keys, shows their secret once, lists and revokes them', async () => {
  const { body: made, headers } = await user.post('/api/api-keys', { name: 'Historian export' }).expect(201)
  expect(made).toEqual({
    id: expect.stringMatching(/^key_/),
    name: 'Historian export',
    key: expect.stringMatching(/^eyJ/),
    scopes: ['standard'],
    createdAt: expect.any(String),
    expiresAt: null,
    lastUsedAt: null,
  })
  expect(headers.location).toBe(`/api/api-keys/${made.id}`)
  const { key, ...shown } = made
  const asKey = () => api.get('/api/api-keys').set('Authorization', `Bearer ${key}`)
  expect((await asKey().expect(200)).body).toEqual({ apiKeys: [shown], total: 1 })
  expect((await user.get(`/api/api-keys/${made.id}`).expect(200)).body).toEqual(shown)
  await user.delete(`/api/api-keys/${made.id}`).expect(204)
  await asKey().expect(401)
  const { body } = await user.delete(`/api/api-keys/${made.id}`).expect(404)
  expect(body).toMatchObject({ error: 'API_KEY_NOT_FOUND', statusCode: 404 })
})

it('they are the keys of flow8', async () => {
  const { body: made } = await user.post('/api/auth/api-keys', { name: 'CI', scopes: ['mcp'] }).expect(201)
  expect((await user.get(`/api/api-keys/${made.id}`).expect(200)).body).toMatchObject({ name: 'CI', scopes: ['mcp'] })
  await api.get('/api/api-keys').set('Authorization', `Bearer ${made.token}`).expect(403)
  await user.delete(`/api/api-keys/${made.id}`).expect(204)
  expect((await user.get('/api/auth/api-keys').expect(200)).body.total).toBe(0)
})

it('one for S3 shows its access key and its secret once, and opens nothing else', async () => {
  const { body: made } = await user.post('/api/api-keys', { name: 'Backup', scopes: ['s3'] }).expect(201)
  const { key, accessKey, secretKey, ...shown } = made
  expect(accessKey).toMatch(/^MR[A-Z2-7]{18}$/)
  expect(secretKey).toMatch(/^[\w-]{40}$/)
  expect((await user.get(`/api/api-keys/${made.id}`).expect(200)).body).toEqual(shown)
  await api.get('/api/api-keys').set('Authorization', `Bearer ${key}`).expect(403)
  const { body: other } = await user
    .post('/api/auth/api-keys', { name: 'Both', scopes: ['standard', 's3'] })
    .expect(201)
  expect(other).toMatchObject({ accessKey: expect.any(String), secretKey: expect.any(String) })
  await api.get('/api/api-keys').set('Authorization', `Bearer ${other.token}`).expect(200)
  for (const { id } of [made, other]) await user.delete(`/api/api-keys/${id}`).expect(204)
})

it("nobody sees another's, and a page says how many there are", async () => {
  const ids: string[] = []
  for (const name of ['a', 'b', 'c']) ids.push((await user.post('/api/api-keys', { name }).expect(201)).body.id)
  const { body } = await user.get('/api/api-keys?limit=2&offset=1').expect(200)
  expect(body.total).toBe(3)
  expect(body.apiKeys.map(({ id }: { id: string }) => id)).toEqual(ids.slice(1))
  expect((await other.get('/api/api-keys').expect(200)).body).toEqual({ apiKeys: [], total: 0 })
  await other.delete(`/api/api-keys/${ids[0]}`).expect(404)
})

it('refuses what it does not know, and an end in the past', async () => {
  for (const body of [
    { name: '' },
    { name: 'x', scopes: [] },
    { name: 'x', scopes: ['all'] },
    { name: 'x', expiresAt: '2020-01-01T00:00:00Z' },
  ]) {
    await user.post('/api/api-keys', body).expect(422)
  }
})
