import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'

const ECHO = { start: { type: 'transform', params: { script: 'return input' } } }

let api: ApiUnderTest
let user: FlowRunnerUser
let flowId: string

beforeAll(async () => {
  api = await apiUnderTest()
  user = await FlowRunnerUser.login(api)
  flowId = await user.flow(ECHO)
})

afterAll(() => api.close())

async function made(body: object = {}): Promise<{ id: string; [member: string]: unknown }> {
  return (await user.post('/api/schedules', { flowId, cron: '0 3 * * *', ...body }).expect(201)).body
}

describe('schedules', () => {
  it('are created, and say when they come next', async () => {
    const body = { name: 'Nightly', flowId, cron: '0 3 * * *', timezone: 'Europe/Berlin', args: { report: 'daily' } }
    const answer = await user.post('/api/schedules', body).expect(201)
    expect(answer.body).toEqual({
      ...body,
      jobId: null,
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
    expect(answer.headers.location).toBe(`/api/schedules/${answer.body.id}`)
    expect(Date.parse(answer.body.nextRunAt)).toBeGreaterThan(Date.now())
    const got = await user.get(answer.headers.location as string).expect(200)
    expect(got.body).toEqual(answer.body)
    expect(got.headers.etag).toBe(`"${answer.body.updatedAt}"`)
  })

  it('need no more than a flow and when', async () => {
    expect(await made({ cron: undefined, every: 'PT15M' })).toMatchObject({
      name: 'PT15M',
      cron: null,
      every: 'PT15M',
      args: {},
    })
    expect(await made({ cron: '@daily' })).toMatchObject({ name: '@daily', timezone: 'UTC' })
  })

  it('come in pages', async () => {
    const { body: all } = await user.get('/api/schedules').expect(200)
    expect(all).toMatchObject({ page: 0, size: 25, pages: 1, total: all.data.length })
    expect(all.total).toBeGreaterThan(2)
    const { body: second } = await user.get('/api/schedules?page=1&size=2').expect(200)
    expect(second).toMatchObject({ page: 1, size: 2, total: all.total, pages: Math.ceil(all.total / 2) })
    expect(second.data).toEqual(all.data.slice(2, 4))
    const refused = await user.get('/api/schedules?size=0').expect(400)
    expect(refused.body).toMatchObject({ statusCode: 400 })
  })

  it('are changed, and what is left out stays', async () => {
    const before = await made({ args: { a: 1 } })
    const { body } = await user
      .put(`/api/schedules/${before.id}`, { cron: '*/5 * * * *', overlap: 'queue' })
      .expect(200)
    expect(body).toMatchObject({ cron: '*/5 * * * *', overlap: 'queue', args: { a: 1 }, name: before.name })
    expect(Date.parse(body.nextRunAt) - Date.now()).toBeLessThanOrEqual(300_000)
    const { body: interval } = await user.put(`/api/schedules/${before.id}`, { every: '2h' }).expect(200)
    expect(interval).toMatchObject({ cron: null, every: '2h' })
    expect(Math.abs(Date.parse(interval.nextRunAt) - Date.now() - 7_200_000)).toBeLessThan(10_000)
    const { body: again } = await user.put(`/api/schedules/${before.id}`, { cron: '@hourly', every: null }).expect(200)
    expect(again).toMatchObject({ cron: '@hourly', every: null })
  })

  it('are paused, and go on', async () => {
    const { id } = await made({ cron: '* * * * * *' })
    expect((await user.put(`/api/schedules/${id}`, { enabled: false }).expect(200)).body).toMatchObject({
      enabled: false,
      nextRunAt: null,
    })
    expect(
      Date.parse((await user.put(`/api/schedules/${id}`, { enabled: true }).expect(200)).body.nextRunAt),
    ).toBeGreaterThan(0)
    await user.delete(`/api/schedules/${id}`).expect(204)
  })

  it('are changed by those who have seen the last change', async () => {
    const { id, updatedAt } = await made()
    const change = (tag: string) => user.put(`/api/schedules/${id}`, { name: tag }).set('If-Match', tag)
    await change(`"${updatedAt}"`).expect(200)
    const refused = await change(`"${updatedAt}"`).expect(412)
    expect(refused.body).toMatchObject({ statusCode: 412 })
  })

  it('are deleted', async () => {
    const { id } = await made()
    await user.delete(`/api/schedules/${id}`).expect(204)
    for (const asked of [
      user.get(`/api/schedules/${id}`),
      user.put(`/api/schedules/${id}`, {}),
      user.delete(`/api/schedules/${id}`),
    ]) {
      const { body } = await asked.expect(404)
      expect(body).toMatchObject({
        error: 'SCHEDULE_NOT_FOUND',
        message: `Schedule with ID ${id} not found`,
        statusCode: 404,
      })
    }
  })

  it('are made once for a key', async () => {
    const post = (body: object) =>
      user.post('/api/schedules', { flowId, cron: '@daily', ...body }).set('Idempotency-Key', 'once')
    const first = await post({}).expect(201)
    expect((await post({}).expect(201)).body).toEqual(first.body)
    await post({ name: 'Another' }).expect(422)
  })

  it('belong to their account', async () => {
    const { id } = await made()
    const other = await user.colleague('stranger@example.com')
    expect((await other.get('/api/schedules').expect(200)).body).toMatchObject({ data: [], total: 0 })
    await other.get(`/api/schedules/${id}`).expect(404)
    await other.put(`/api/schedules/${id}`, { name: 'Mine' }).expect(404)
    await other.delete(`/api/schedules/${id}`).expect(404)
    const { body } = await other.post('/api/schedules', { flowId, cron: '@daily' }).expect(404)
    expect(body).toMatchObject({ error: 'FLOW_NOT_FOUND', statusCode: 404 })
    await other.put(`/api/schedules/${id}`, { flowId: 'flow_none' }).expect(404)
  })

  it('are looked at only by viewers', async () => {
    const { id } = await made()
    const password = 'correct horse battery'
    await user.post('/api/v1/accounts', { name: 'V', email: 'v@example.com', password, role: 'viewer' }).expect(201)
    const viewer = await FlowRunnerUser.login(api, { email: 'v@example.com', password })
    await viewer.get('/api/schedules').expect(200)
    await viewer.post('/api/schedules', { flowId, cron: '@daily' }).expect(403)
    await viewer.put(`/api/schedules/${id}`, {}).expect(403)
    await viewer.delete(`/api/schedules/${id}`).expect(403)
  })

  it('go with their flow', async () => {
    const doomed = await user.flow(ECHO)
    const { id } = await made({ flowId: doomed })
    await user.delete(`/api/v1/flows/${doomed}`).expect(200)
    await user.get(`/api/schedules/${id}`).expect(404)
  })

  it.each([
    [{ cron: '61 * * * *' }, '#/cron', "Cron is invalid: '61' in the field of the minute is not from 0 to 59"],
    [{ cron: 'hourly' }, '#/cron', 'must have 5 fields'],
    [{ cron: '0 0 31 2 *' }, '#/cron', "Cron never comes: no date fits '0 0 31 2 *'"],
    [{ cron: '* * * * *', timezone: 'Mars/Base' }, '#/timezone', "'Mars/Base' is not an IANA time zone"],
    [{ cron: '* * * * *', timezone: '+01:00' }, '#/timezone', 'is not an IANA time zone'],
    [{ every: 'often' }, '#/every', 'it must be an interval such as 15m'],
    [{ every: '10ms' }, '#/every', 'it must be from one second to 366 days'],
    [{ every: '1m', cron: '* * * * *' }, '#/every', 'Every cannot stand beside cron'],
    [{}, '#/cron', 'Cron or every is required'],
    [{ cron: '@daily', overlap: 'pile up' }, '#/overlap', 'must be one of skip, allow, queue, cancel_previous'],
    [{ cron: '@daily', missed: 'some' }, '#/missed', 'must be one of skip, last, all'],
    [{ cron: '@daily', jitterSeconds: -1 }, '#/jitterSeconds', 'must be at least 0'],
    [{ cron: '@daily', args: [1] }, '#/args', 'must be an object'],
    [{ cron: '@daily', nextRunAt: null }, '#/nextRunAt', 'is not known here'],
  ])('with %j are refused at the member', async (body, pointer, detail) => {
    const answer = await user.post('/api/schedules', { flowId, ...body }).expect(422)
    expect(answer.body).toMatchObject({ error: 'VALIDATION_ERROR', statusCode: 422, errors: [{ pointer }] })
    expect(answer.body.errors[0].detail).toContain(detail)
  })

  it('tell all faults at once', async () => {
    const { body } = await user.post('/api/schedules', { flowId, cron: '* *', timezone: 'Mars' }).expect(422)
    expect(body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual(['#/timezone', '#/cron'])
    const { id } = await made()
    expect((await user.put(`/api/schedules/${id}`, { timezone: 'Mars' }).expect(422)).body.errors).toHaveLength(1)
  })

  it('start plays of their flow with their arguments', async () => {
    const { id } = await made({ cron: undefined, every: '1s', args: { n: 7 } })
    const run = await vi.waitFor(
      async () => {
        const { body } = await user.get(`/api/v1/executions?flow_id=${flowId}&limit=1`).expect(200)
        expect(body.executions[0]?.status).toBe('completed')
        return body.executions[0]
      },
      { timeout: 15_000, interval: 100 },
    )
    expect((await user.execution(run.id)).result).toEqual({ n: 7 })
    const { body } = await user.get(`/api/schedules/${id}`).expect(200)
    expect(body.lastRunAt).not.toBeNull()
    await user.delete(`/api/schedules/${id}`).expect(204)
  })

  it('of flows are listed among the others', async () => {
    const planner = await user.flow({
      plan: { type: 'cron', params: { schedule: '@yearly', id: 'from a/flow', payload: 5 }, next: { default: 'end' } },
      end: { type: 'transform', params: { script: 'return input' } },
    })
    await user.ended(await user.start(planner))
    const { body } = await user.get('/api/schedules?size=100').expect(200)
    expect(body.data.at(-1)).toMatchObject({
      id: 'from a/flow',
      name: 'from a/flow',
      cron: '@yearly',
      args: { input: 5 },
      overlap: 'allow',
    })
    await user.put('/api/schedules/from%20a%2Fflow', { enabled: false }).expect(200)
    await user.ended(await user.start(planner))
    expect((await user.get('/api/schedules/from%20a%2Fflow').expect(200)).body).toMatchObject({
      enabled: false,
      nextRunAt: null,
    })
    await user.delete('/api/schedules/from%20a%2Fflow').expect(204)
  })
})
