import { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ADMIN, type ApiUnderTest, apiUnderTest } from '../../../test/support/api.js'
import { FlowRunnerUser } from '../../../test/support/flowrunner-user.js'

interface Log {
  id: string
  createdAt: string
  userId: string | null
  action: string
  resourceId: string | null
  outcome: string
  after: Record<string, unknown> | null
}

let api: ApiUnderTest
let admin: FlowRunnerUser
let user: FlowRunnerUser
let flowId: string

beforeAll(async () => {
  api = await apiUnderTest()
  admin = await FlowRunnerUser.login(api)
  user = await admin.colleague('user@example.com')
  flowId = await user.flow({ a: { type: 'transform', params: { script: 'return 1' } } }, 'Audited')
})
afterAll(() => api.close())

async function logs(query = '', by = admin): Promise<Log[]> {
  return (await by.get(`/api/audit/logs${query}`).expect(200)).body.logs
}

const actions = (entries: Log[]) => entries.map(({ action }) => action)

describe('GET /api/audit/logs', () => {
  it('shows who did what, when, from where and in which request, newest first', async () => {
    const { headers } = await user.put(`/api/v1/flows/${flowId}`, { name: 'Renamed' }).expect(200)
    const [latest, earlier] = await logs(`?userId=${user.accountId}`)
    expect(latest).toEqual({
      id: expect.stringMatching(/^audit_/),
      createdAt: expect.any(String),
      userId: user.accountId,
      userEmail: 'user@example.com',
      action: 'flow.update',
      resourceType: 'flow',
      resourceId: flowId,
      outcome: 'success',
      ip: expect.stringMatching(/127\.0\.0\.1/),
      requestId: headers['x-request-id'],
      before: expect.objectContaining({ name: 'Audited' }),
      after: expect.objectContaining({ name: 'Renamed' }),
    })
    expect(earlier?.action).toBe('flow.create')
  })

  it('filters by user, action, kind and id of the thing, outcome and dates', async () => {
    const all = await logs()
    const has = async (query: string, belongs: (entry: Log) => boolean) =>
      expect(await logs(query), query).toEqual(all.filter(belongs))
    await has(`?userId=${user.accountId}`, ({ userId }) => userId === user.accountId)
    await has('?action=auth.login', ({ action }) => action === 'auth.login')
    await has('?resourceType=flow', ({ action }) => action.startsWith('flow.'))
    await has(`?resourceType=flow&resourceId=${flowId}`, ({ resourceId }) => resourceId === flowId)
    await has('?outcome=failure', ({ outcome }) => outcome === 'failure')
    await has('?outcome=success&action=flow.create', ({ action }) => action === 'flow.create')
    const middle = all[Math.floor(all.length / 2)]?.createdAt ?? ''
    await has(`?startDate=${middle}`, ({ createdAt }) => createdAt >= middle)
    await has(`?endDate=${middle}`, ({ createdAt }) => createdAt <= middle)
    const day = new Date().toISOString().slice(0, 10)
    await has(`?startDate=${day}&endDate=${day}`, ({ createdAt }) => createdAt.startsWith(day))
    await has('?startDate=2001-01-01&endDate=2001-12-31', () => false)
  })

  it('pages by offset, and from an entry on', async () => {
    const { body } = await admin.get('/api/audit/logs?limit=2&offset=1').expect(200)
    const all = await logs()
    expect(body).toEqual({ logs: all.slice(1, 3), total: all.length })
    expect(await logs(`?before=${all[1]?.id}&limit=2`)).toEqual(all.slice(2, 4))
    expect(await logs('?before=audit_unknown')).toEqual([])
  })

  it('refuses what cannot be asked', async () => {
    for (const query of ['limit=0', 'offset=-1', 'outcome=maybe', 'startDate=yesterday', 'endDate=2026-02-30', 'x=1'])
      await admin.get(`/api/audit/logs?${query}`).expect(400)
  })

  it('shows to who is no admin only what they did themselves', async () => {
    const own = await logs('', user)
    expect(own.length).toBeGreaterThan(2)
    expect(own.every(({ userId }) => userId === user.accountId)).toBe(true)
    expect(await logs(`?userId=${admin.accountId}`, user)).toEqual([])
  })

  it('shows nothing of other tenants', async () => {
    const database = api.app.get(DataSource)
    await database.query(`insert into tenant (id, name) values ('tenant_2', 'Other')`)
    await database.query(`insert into audit_entry (id, tenant_id, action, resource_type, outcome)
      values ('audit_of_another', 'tenant_2', 'thing.of_another', 'thing', 'success')`)
    expect(actions(await logs('?limit=200'))).not.toContain('thing.of_another')
    expect(await logs('?action=thing.of_another')).toEqual([])
  })
})

describe('what is refused', () => {
  it('is there with its reason, and without what was sent', async () => {
    await user.post('/api/v1/accounts', { ...NEW, password: 'hunter2 hunter2' }).expect(403)
    await user.put('/api/v1/flows/flow_of_nobody', { name: 'Mine' }).expect(404)
    await user.post('/api/v1/flows', { name: 'x', definition: 'oops: hunter2' }).expect(422)
    const [third, second, first] = await logs(`?userId=${user.accountId}&outcome=failure`)
    expect(first).toMatchObject({ action: 'account.create', after: { problem: 'forbidden', status: 403 } })
    expect(second).toMatchObject({
      action: 'flow.update',
      resourceId: 'flow_of_nobody',
      after: { problem: 'flow-not-found', status: 404 },
    })
    expect(third).toMatchObject({ action: 'flow.create', after: { problem: 'validation-error', status: 422 } })
    expect(JSON.stringify([first, second, third])).not.toContain('hunter2')
  })

  it('is there for logins that fail, though nobody is known', async () => {
    await api.post('/api/v1/auth/login').send({ username: ADMIN.email, password: 'wrong wrong' }).expect(401)
    const [failed] = await logs('?action=auth.login&outcome=failure')
    expect(failed).toMatchObject({ userId: null, resourceId: admin.accountId })
  })

  it('is not there for what only reads', async () => {
    const before = (await logs('?limit=200')).length
    await user.get('/api/v1/flows/flow_of_nobody').expect(404)
    await user.get('/api/audit/verify').expect(403)
    expect((await logs('?limit=200')).length).toBe(before)
  })
})

describe('GET /api/audit/users/{id}/activity', () => {
  it('shows to admins what a user did, also one that was deleted', async () => {
    const gone = await admin.colleague('gone@example.com')
    await admin.delete(`/api/v1/accounts/${gone.accountId}`).expect(200)
    const { body } = await admin.get(`/api/audit/users/${gone.accountId}/activity`).expect(200)
    expect(body).toMatchObject({ logs: [{ action: 'auth.login', userId: gone.accountId }], total: 1 })
  })

  it('shows to others their own, and knows no one else', async () => {
    const { body } = await user.get(`/api/audit/users/${user.accountId}/activity?resourceType=flow&limit=1`).expect(200)
    expect(body.logs).toHaveLength(1)
    expect(body.total).toBeGreaterThan(1)
    await user.get(`/api/audit/users/${admin.accountId}/activity`).expect(404)
    await admin.get('/api/audit/users/account_of_nobody/activity').expect(404)
  })
})

describe('GET /api/audit/export', () => {
  it('streams the same entries as JSON lines', async () => {
    const { text, headers } = await admin.get(`/api/audit/export?userId=${user.accountId}`).expect(200)
    expect(headers['content-disposition']).toBe('attachment; filename="audit.jsonl"')
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines).toEqual(await logs(`?userId=${user.accountId}&limit=200`))
  })

  it('streams them as CSV', async () => {
    const { text, headers } = await admin.get('/api/audit/export?format=csv&action=flow.create').expect(200)
    expect(headers['content-type']).toContain('text/csv')
    const [header, ...records] = text.trimEnd().split('\r\n')
    expect(header).toBe(
      'id,createdAt,userId,userEmail,action,resourceType,resourceId,outcome,ip,requestId,before,after',
    )
    expect(records).toHaveLength((await logs('?action=flow.create')).length)
    expect(text).toContain('"{""name"":""Audited""')
  })

  it('gives others their own only, and refuses other formats', async () => {
    const { text } = await user.get('/api/audit/export').expect(200)
    const owners = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).userId)
    expect(new Set(owners)).toEqual(new Set([user.accountId]))
    expect((await user.get(`/api/audit/export?userId=${admin.accountId}`).expect(200)).text).toBe('')
    await admin.get('/api/audit/export?format=xml').expect(400)
  })
})

describe('GET /api/audit/verify', () => {
  it('finds every entry as it was written, runs that were started among them', async () => {
    const runs = await Promise.all(Array.from({ length: 20 }, () => user.start(flowId)))
    await Promise.all(runs.map((id) => user.ended(id)))
    const { body } = await admin.get('/api/audit/verify').expect(200)
    expect(body.valid, JSON.stringify(body)).toBe(true)
    expect(body.checked).toBe((await admin.get('/api/audit/logs').expect(200)).body.total)
  })

  it('is for admins', async () => {
    await user.get('/api/audit/verify').expect(403)
  })

  it('has nothing left to seal soon after a change', async () => {
    const database = api.app.get(DataSource)
    await user.start(flowId)
    await vi.waitFor(
      async () => {
        const [{ open }] = await database.query(
          `select count(*)::integer as open from audit_entry e
           where tenant_id = 'default' and not exists (select from audit_seal s where s.seq = e.seq)`,
        )
        expect(open).toBe(0)
      },
      { interval: 20 },
    )
  })

  it('names the first break', async () => {
    const database = api.app.get(DataSource)
    const [{ id, position }] = await database.query(
      `select id, position::integer from audit_entry e join audit_seal s on s.seq = e.seq where action = 'account.create'
       order by position limit 1`,
    )
    await database.query('alter table audit_entry disable trigger user')
    await database.query(`update audit_entry set actor_email = 'somebody@example.com' where id = $1`, [id])
    const { body } = await admin.get('/api/audit/verify').expect(200)
    expect(body).toEqual({
      valid: false,
      checked: position - 1,
      firstBreak: { kind: 'changed', position, entryId: id, detail: expect.stringContaining(`position ${position}`) },
    })
  })
})

const NEW = { name: 'New', email: 'new@example.com', role: 'user' }
