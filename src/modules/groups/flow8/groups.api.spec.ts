import { afterAll, beforeAll, describe, expect, it } from 'vitest'
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

describe('groups', () => {
  let id: string

  it('are created', async () => {
    const { body, headers } = await user.post('/api/groups', { name: 'Billing', index: 0 }).expect(201)
    expect(body).toEqual({
      id: expect.stringMatching(/^group_/),
      name: 'Billing',
      index: 0,
      members: [],
      createdAt: expect.any(String),
      updatedAt: body.createdAt,
    })
    id = body.id
    expect(headers.location).toBe(`/api/groups/${id}`)
    expect(headers.etag).toBe(`"${body.updatedAt}"`)
  })

  it('come last unless they say where', async () => {
    const { body } = await user.post('/api/groups', { name: 'Shipping' }).expect(201)
    expect(body.index).toBe(1)
    await user.post('/api/groups', { name: 'Archive', index: 1 }).expect(201)
    await user.post('/api/groups', { name: 'Zoo', index: 0 }).expect(201)
  })

  it('are listed by index, then by name, in pages', async () => {
    const { body } = await user.get('/api/groups').expect(200)
    expect(body).toMatchObject({ total: 4, page: 0, size: 25, pages: 1 })
    expect(body.data.map(({ name }: { name: string }) => name)).toEqual(['Billing', 'Zoo', 'Archive', 'Shipping'])
    const second = await user.get('/api/groups?page=1&size=3').expect(200)
    expect(second.body).toMatchObject({ data: [{ name: 'Shipping' }], total: 4, page: 1, size: 3, pages: 2 })
    await user.get('/api/groups?size=0').expect(400)
  })

  it('are read and changed', async () => {
    const { body } = await user.put(`/api/groups/${id}`, { name: 'Money', index: 9 }).expect(200)
    expect(body).toMatchObject({ id, name: 'Money', index: 9, members: [] })
    expect((await user.get(`/api/groups/${id}`).expect(200)).body).toEqual(body)
    const same = await user.put(`/api/groups/${id}`, {}).expect(200)
    expect(same.body).toMatchObject({ name: 'Money', index: 9 })
  })

  it('are changed and deleted only as they were read', async () => {
    const { headers } = await user.get(`/api/groups/${id}`).expect(200)
    const etag = String(headers.etag)
    await user.put(`/api/groups/${id}`, { index: 8 }).set('If-Match', etag).expect(200)
    await user.put(`/api/groups/${id}`, { index: 7 }).set('If-Match', etag).expect(412)
    await user.delete(`/api/groups/${id}`).set('If-Match', etag).expect(412)
    expect((await user.get(`/api/groups/${id}`)).body.index).toBe(8)
  })

  it('are deleted', async () => {
    await user.delete(`/api/groups/${id}`).expect(204)
    const { body } = await user.get(`/api/groups/${id}`).expect(404)
    expect(body).toMatchObject({
      type: '/problems/group-not-found',
      error: 'GROUP_NOT_FOUND',
      message: `Group with ID ${id} not found`,
      statusCode: 404,
    })
    await user.put(`/api/groups/${id}`, {}).expect(404)
    await user.delete(`/api/groups/${id}`).expect(404)
  })

  it('stay while flows are in them', async () => {
    const { body: group } = await user.post('/api/groups', { name: 'Full' }).expect(201)
    const { body: flow } = await user.post('/api/flows', { name: 'Inside', groupId: group.id }).expect(201)
    const { body } = await user.delete(`/api/groups/${group.id}`).expect(409)
    expect(body).toMatchObject({
      type: '/problems/group-in-use',
      error: 'CONFLICT',
      message: 'The group still holds 1 flow',
    })
    await user.delete(`/api/flows/${flow.id}`).expect(204)
    await user.delete(`/api/groups/${group.id}`).expect(204)
  })
})

describe('the name of a group', () => {
  it('is free or refused, also of two at once', async () => {
    await user.post('/api/groups', { name: 'Taken' }).expect(201)
    const { body } = await user.post('/api/groups', { name: 'Taken' }).expect(409)
    expect(body).toMatchObject({ type: '/problems/group-name-taken', error: 'CONFLICT', statusCode: 409 })
    const other = await user.post('/api/groups', { name: 'taken' }).expect(201)
    await user.put(`/api/groups/${other.body.id}`, { name: 'Taken' }).expect(409)
    const both = await Promise.all([1, 2].map(() => user.post('/api/groups', { name: 'Twice' })))
    expect(both.map(({ status }) => status).sort()).toEqual([201, 409])
  })

  it("is each account's own", async () => {
    await admin.post('/api/groups', { name: 'Taken' }).expect(201)
  })

  it.each([
    [{}, 'required'],
    [{ name: '' }, 'empty'],
    [{ name: 'x'.repeat(201) }, 'too_long'],
    [{ name: 'a\u0000b' }, 'nul'],
    [{ name: 7 }, 'type'],
  ])('is a text: %j', async (group, code) => {
    const { body } = await user.post('/api/groups', group).expect(422)
    expect(body.errors).toEqual([expect.objectContaining({ pointer: '#/name', code })])
  })

  it.each(['__proto__', 'constructor', "'; drop table flow_group; --", '🗂', '%', ' '])('may be %j', async (name) => {
    const { body } = await user.post('/api/groups', { name }).expect(201)
    expect((await user.get(`/api/groups/${body.id}`).expect(200)).body.name).toBe(name)
  })
})

describe('members of a group', () => {
  it('are accounts of the same tenant, each once', async () => {
    const members = [user.accountId, admin.accountId, user.accountId]
    const { body } = await user.post('/api/groups', { name: 'Approvers', members }).expect(201)
    expect(body.members).toEqual([user.accountId, admin.accountId])
    const changed = await user.put(`/api/groups/${body.id}`, { members: [] }).expect(200)
    expect(changed.body.members).toEqual([])
  })

  it('that are not known are named', async () => {
    const members = [user.accountId, 'account_nobody', '__proto__']
    const { body } = await user.post('/api/groups', { name: 'Unknown', members }).expect(422)
    expect(body.errors).toEqual([
      { pointer: '#/members/1', detail: 'There is no account account_nobody', code: 'unknown_account' },
      { pointer: '#/members/2', detail: 'There is no account __proto__', code: 'unknown_account' },
    ])
  })

  it('leave it when their account is deleted', async () => {
    const gone = await admin.colleague('gone@example.com')
    const { body } = await user.post('/api/groups', { name: 'Leavers', members: [gone.accountId] }).expect(201)
    await gone.post('/api/groups', { name: 'Own' }).expect(201)
    await admin.delete(`/api/v1/accounts/${gone.accountId}`).expect(200)
    expect((await user.get(`/api/groups/${body.id}`)).body.members).toEqual([])
  })
})

describe('to others', () => {
  it('a group does not exist', async () => {
    const { body } = await user.post('/api/groups', { name: 'Private' }).expect(201)
    const stranger = await admin.colleague('stranger@example.com')
    for (const other of [stranger, admin]) {
      await other.get(`/api/groups/${body.id}`).expect(404)
      await other.put(`/api/groups/${body.id}`, { name: 'Mine' }).expect(404)
      await other.delete(`/api/groups/${body.id}`).expect(404)
    }
    expect((await stranger.get('/api/groups').expect(200)).body).toMatchObject({ data: [], total: 0, pages: 0 })
  })

  it('a viewer only looks', async () => {
    const password = ADMIN.password
    const account = { name: 'Viewer', email: 'viewer@example.com', password, role: 'viewer' }
    await admin.post('/api/v1/accounts', account).expect(201)
    const viewer = await FlowRunnerUser.login(api, account)
    await viewer.get('/api/groups').expect(200)
    await viewer.post('/api/groups', { name: 'Mine' }).expect(403)
    await viewer.put('/api/groups/group_1', { name: 'Mine' }).expect(403)
    await viewer.delete('/api/groups/group_1').expect(403)
  })
})
