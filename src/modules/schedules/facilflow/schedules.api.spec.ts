import { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'

const PATH = '/api/scheduler/schedules'
const ECHO = { start: { type: 'transform', params: { script: 'return input' } } }
const WAIT = { start: { type: 'wait', params: { key: 'never', timeout: '1h' } } }

interface Slot {
  scheduledAt: string
  startedAt: string
  lagMs: number
  runId: string
  status: string
  reason: string | null
  slots: number
}

let api: ApiUnderTest
let user: FlowRunnerUser
let target: { type: string; id: string }

beforeAll(async () => {
  api = await apiUnderTest()
  user = await FlowRunnerUser.login(api)
  target = { type: 'flow', id: await user.flow(ECHO) }
})

afterAll(() => api.close())

async function made(body: object = {}): Promise<{ id: string; [member: string]: unknown }> {
  return (await user.post(PATH, { target, cron: '0 3 * * *', ...body }).expect(201)).body
}

describe('the scheduler', () => {
  it('creates a schedule and lists it', async () => {
    const body = { name: 'Nightly', target, cron: '0 3 * * MON-FRI', timezone: 'America/New_York', input: ['a', 1] }
    const answer = await user.post(PATH, body).expect(201)
    expect(answer.body).toEqual({
      ...body,
      id: expect.stringMatching(/^schedule_/),
      every: null,
      enabled: true,
      overlap: 'skip',
      missed: 'last',
      jitterSeconds: 0,
      lastRunAt: null,
      nextRunAt: expect.any(String),
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    })
    expect(answer.headers.location).toBe(`${PATH}/${answer.body.id}`)
    expect((await user.get(PATH).expect(200)).body).toEqual({ schedules: [answer.body], total: 1 })
    expect((await user.get(`${PATH}?offset=1`).expect(200)).body).toEqual({ schedules: [], total: 1 })
    const got = await user.get(`${PATH}/${answer.body.id}`).expect(200)
    expect(got.body).toEqual(answer.body)
    expect(got.headers.etag).toBe(`"${answer.body.updatedAt}"`)
  })

  it('shows the same schedules as flow8, and takes their changes', async () => {
    const { id } = await made()
    await user.put(`/api/schedules/${id}`, { name: 'Renamed', args: { from: 'flow8' } }).expect(200)
    expect((await user.get(`${PATH}/${id}`).expect(200)).body).toMatchObject({
      name: 'Renamed',
      input: { from: 'flow8' },
      target,
    })
  })

  it('updates and deletes a schedule', async () => {
    const { id, updatedAt } = await made()
    const { body } = await user.put(`${PATH}/${id}`, { every: 'PT1H', enabled: false, input: null }).expect(200)
    expect(body).toMatchObject({ cron: null, every: 'PT1H', enabled: false, nextRunAt: null, input: {} })
    await user.put(`${PATH}/${id}`, { name: 'Late' }).set('If-Match', `"${updatedAt}"`).expect(412)
    await user.delete(`${PATH}/${id}`).expect(204)
    const missing = [
      user.get(`${PATH}/${id}`),
      user.put(`${PATH}/${id}`, {}),
      user.delete(`${PATH}/${id}`),
      user.get(`${PATH}/${id}/history`),
      user.get(`${PATH}/${id}/next`),
    ]
    for (const asked of missing) expect((await asked.expect(404)).body).toMatchObject({ error: 'SCHEDULE_NOT_FOUND' })
  })

  it('refuses what it cannot start, by name', async () => {
    const { body } = await user.post(PATH, { target: { type: 'pipeline', id: 'p' }, cron: '@daily' }).expect(422)
    expect(body.errors).toMatchObject([{ pointer: '#/target/type', detail: 'Type must be one of flow, job' }])
    await user.post(PATH, { target: { type: 'flow', id: 'flow_none' }, cron: '@daily' }).expect(404)
    await user.post(PATH, { cron: '@daily' }).expect(422)
    const wrong = await user.post(PATH, { target, cron: '0 0 30 2 *' }).expect(422)
    expect(wrong.body.errors).toMatchObject([{ pointer: '#/cron', code: 'never_comes' }])
  })

  it('foresees the next runs, as the clocks will show them', async () => {
    const { id } = await made({ cron: '30 2 28-31 3 +SUN#L', timezone: 'Europe/Berlin', jitterSeconds: 60 })
    const { body } = await user.get(`${PATH}/${id}/next?count=3`).expect(200)
    expect(body.total).toBe(3)
    for (const { scheduledAt, startsAt, localTime } of body.next) {
      expect(localTime).toMatch(/^20\d\d-03-\d\dT03:00:00\+02:00$/)
      expect(new Date(localTime).toISOString()).toBe(scheduledAt)
      const jitter = Date.parse(startsAt) - Date.parse(scheduledAt)
      expect(jitter >= 0 && jitter < 60_000).toBe(true)
    }
    const { body: first } = await user.get(`${PATH}/${id}`).expect(200)
    expect(first.nextRunAt).toBe(body.next[0].scheduledAt)
    await user.put(`${PATH}/${id}`, { enabled: false }).expect(200)
    expect((await user.get(`${PATH}/${id}/next`).expect(200)).body.next.slice(0, 3)).toEqual(body.next)
    await user.get(`${PATH}/${id}/next?count=0`).expect(400)
  })

  it('tells what became of each slot', async () => {
    const waits = { type: 'flow', id: await user.flow(WAIT) }
    const { id } = await made({ target: waits, cron: '* * * * * *' })
    const history = await vi.waitFor(
      async () => {
        const { body } = await user.get(`${PATH}/${id}/history`).expect(200)
        // On a busy machine a slot may be missed, and several told of together.
        const one = (about: object) => expect.arrayContaining([expect.objectContaining(about)])
        expect(body.history).toEqual(one({ status: 'running' }))
        expect(body.history).toEqual(one({ status: 'skipped', reason: 'overlap', slots: 1 }))
        return body.history as Slot[]
      },
      { timeout: 15_000, interval: 100 },
    )
    const started = history.find(({ status }) => status === 'running') as Slot
    const skipped = history.find(({ reason, slots }) => reason === 'overlap' && slots === 1) as Slot
    expect(skipped).toEqual({
      scheduledAt: expect.any(String),
      startedAt: null,
      lagMs: null,
      runId: null,
      status: 'skipped',
      reason: 'overlap',
      finishedAt: null,
      lastScheduledAt: skipped.scheduledAt,
      slots: 1,
    })
    expect(started).toMatchObject({ status: 'running', reason: null, runId: expect.stringMatching(/^run_/) })
    expect(Date.parse(started.startedAt) - Date.parse(started.scheduledAt)).toBe(started.lagMs)
    expect((await user.execution(started.runId)).status).toBe('running')
    await user.delete(`${PATH}/${id}`).expect(204)
    await user.delete(`/api/v1/executions/${started.runId}`).expect(200)
  })

  it('cancels the run before, where it shall', async () => {
    const waits = { type: 'flow', id: await user.flow(WAIT) }
    const { id } = await made({ target: waits, cron: '* * * * * *', overlap: 'cancel_previous' })
    await vi.waitFor(
      async () => {
        const { body } = await user.get(`${PATH}/${id}/history`).expect(200)
        expect(body.history.at(-1)).toMatchObject({ status: 'cancelled', finishedAt: expect.any(String) })
      },
      { timeout: 15_000, interval: 100 },
    )
    await user.delete(`${PATH}/${id}`).expect(204)
  })

  it('is looked at only by viewers, and keeps accounts apart', async () => {
    const { id } = await made()
    const password = 'correct horse battery'
    await user.post('/api/v1/accounts', { name: 'V', email: 'v@example.com', password, role: 'viewer' }).expect(201)
    const viewer = await FlowRunnerUser.login(api, { email: 'v@example.com', password })
    expect((await viewer.get(PATH).expect(200)).body).toEqual({ schedules: [], total: 0 })
    await viewer.get(`${PATH}/${id}/history`).expect(404)
    await viewer.post(PATH, { target, cron: '@daily' }).expect(403)
    await viewer.put(`${PATH}/${id}`, {}).expect(403)
    await viewer.delete(`${PATH}/${id}`).expect(403)
  })

  it('keeps no schedule of an account that was deleted', async () => {
    const leaving = await user.colleague('leaving@example.com')
    const flow = await leaving.flow(ECHO)
    const { body } = await leaving.post(PATH, { target: { type: 'flow', id: flow }, every: '1h' }).expect(201)
    await leaving.delete(`/api/v1/flows/${flow}`).expect(200)
    await user.delete(`/api/v1/accounts/${leaving.accountId}`).expect(200)
    const left = 'select id from schedule where id = $1'
    expect(await api.app.get(DataSource).query(left, [body.id])).toEqual([])
  })

  it('makes one schedule for a key', async () => {
    const post = (body: object) => user.post(PATH, { target, cron: '@daily', ...body }).set('Idempotency-Key', 'once')
    const both = await Promise.all([post({}).expect(201), post({}).expect(201)])
    expect(both[0].body.id).toBe(both[1].body.id)
    await post({ name: 'Another' }).expect(422)
  })
})
