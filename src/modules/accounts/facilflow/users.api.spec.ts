import { afterAll, beforeAll, expect, it } from 'vitest'
import { ADMIN, type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'

let api: ApiUnderTest
let admin: FlowRunnerUser
let user: FlowRunnerUser

beforeAll(async () => {
  api = await apiUnderTest()
  admin = await FlowRunnerUser.login(api)
  user = await admin.colleague('user@example.com')
})
afterAll(() => api.close())

it('lists all users of the tenant for an admin, without anything of their passwords', async () => {
  const { body, text } = await admin.get('/api/users').expect(200)
  expect(body).toEqual({
    users: [
      expect.objectContaining({ id: admin.accountId, email: ADMIN.email, role: 'admin' }),
      {
        id: user.accountId,
        email: 'user@example.com',
        name: 'user@example.com',
        role: 'user',
        createdAt: expect.any(String),
        updatedAt: expect.any(String),
      },
    ],
    total: 2,
  })
  expect(text).not.toMatch(/password|argon/)
})

it('lists only themselves for others', async () => {
  const { body } = await user.get('/api/users').expect(200)
  expect(body.users.map(({ id }: { id: string }) => id)).toEqual([user.accountId])
  expect(body.total).toBe(1)
})

it('filters by role and pages', async () => {
  expect((await admin.get('/api/users?role=user').expect(200)).body.users).toHaveLength(1)
  const { body } = await admin.get('/api/users?limit=1&offset=1').expect(200)
  expect(body).toMatchObject({ users: [{ id: user.accountId }], total: 2 })
  await admin.get('/api/users?role=king').expect(400)
  await admin.get('/api/users?limit=0').expect(400)
})
