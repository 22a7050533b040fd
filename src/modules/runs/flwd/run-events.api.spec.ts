import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { EventStreamClient, type ReceivedEvent } from '../../../../test/support/event-stream.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { dialects } from '../../../dialects/index.js'
import { masterDocument } from '../../../platform/openapi/documents.js'
import { EventStreams } from '../../../platform/realtime/event-streams.js'
import { RunFeed } from '../feed/run-feed.js'

const PATH = '/api/v1/events/runs'

let api: ApiUnderTest
let user: FlowRunnerUser
let flow: string
let isEvent: ValidateFunction
const clients: EventStreamClient[] = []

beforeAll(async () => {
  api = await apiUnderTest()
  user = await FlowRunnerUser.login(api)
  flow = await user.flow({
    start: {
      type: 'transform',
      params: { script: 'console.log("Processing..."); return input' },
      next: { default: 'end' },
    },
    end: { type: 'transform', params: { script: 'if (input.fail) throw new Error("no"); return input' } },
  })
  const { components } = masterDocument(api.app, dialects)
  const ajv = new Ajv2020({ strict: false })
  formats.default(ajv)
  isEvent = ajv.compile({ $ref: '#/components/schemas/FlwdRunEvent', components })
})

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.leave()))
})

afterAll(() => api.close())

async function open(query = '', headers: Record<string, string> = {}, who = user): Promise<EventStreamClient> {
  const client = await EventStreamClient.open(api, PATH + query, { Authorization: who.authorization, ...headers })
  clients.push(client)
  return client
}

const isEnd =
  (id: string) =>
  ({ event, data }: ReceivedEvent): boolean =>
    event === 'run.finished' && data.run_id === id

describe('the stream of all runs', () => {
  it('begins with a comment and the time to wait, and tells each run in the words of flwd', async () => {
    const stream = await open()
    expect(stream.response.status).toBe(200)
    expect(stream.response.headers.get('content-type')).toBe('text/event-stream')
    expect(stream.response.headers.get('cache-control')).toBe('no-store')
    await vi.waitUntil(() => stream.retry !== undefined)
    expect(stream.comments).toEqual(['connected'])
    const [good, bad] = [await user.start(flow, {}), await user.start(flow, { fail: true })]
    await stream.until(isEnd(good))
    await stream.until(isEnd(bad))
    const events = stream.events.filter(({ data }) => data.run_id === good)
    expect(events.map(({ event }) => event)).toEqual([
      'run.created',
      'run.started',
      'step.output',
      'step.started',
      'step.output',
      'step.finished',
      'step.started',
      'step.finished',
      'step.output',
      'run.finished',
    ])
    expect(events[4]?.data).toEqual({
      run_id: good,
      job_id: flow,
      timestamp: expect.any(String),
      level: 'info',
      message: 'Processing...',
      step_id: 'start',
    })
    expect(events.at(-1)?.data).toMatchObject({ level: 'info', status: 'success' })
    const failed = stream.events.filter(({ data }) => data.run_id === bad)
    expect(failed.at(-1)?.data).toMatchObject({ level: 'error', status: 'failed', error: 'no' })
    expect(failed.find(({ data }) => data.status === 'failed')).toMatchObject({
      event: 'step.finished',
      data: { step_id: 'end', error: 'no', attempt: 1 },
    })
    for (const { data } of stream.events) expect(isEvent(data) || isEvent.errors).toBe(true)
    const ids = stream.events.map(({ id }) => Number(id))
    expect(ids).toEqual([...new Set(ids)].toSorted((one, other) => one - other))
    expect(ids.every(Number.isSafeInteger)).toBe(true)
  })

  it('goes on behind any event, by the header or the query, wherever it was cut', async () => {
    const whole = await open()
    const ids = [await user.start(flow, {}), await user.start(flow, {})]
    for (const id of ids) await whole.until(isEnd(id))
    for (const [index, { id }] of whole.events.entries()) {
      const rest = index % 2 === 0 ? await open('', { 'Last-Event-ID': id }) : await open(`?last_event_id=${id}`)
      const expected = whole.events.slice(index + 1)
      if (expected.length > 0) await vi.waitUntil(() => rest.events.length >= expected.length)
      expect(rest.events).toEqual(expected)
    }
    const header = await open(`?last_event_id=${whole.events[0]?.id}`, { 'Last-Event-ID': whole.lastId })
    const last = await user.start(flow, {})
    await header.until(isEnd(last))
    expect(new Set(header.events.map(({ data }) => data.run_id))).toEqual(new Set([last]))
  })

  it('of one run has all of it and ends; of one flow it has no other', async () => {
    const other = await user.flow({ only: { type: 'transform', params: { script: 'return 1' } } })
    const ofFlow = await open(`?job_id=${other}`)
    const [one, two] = [await user.start(flow, {}), await user.start(other, {})]
    await ofFlow.until(isEnd(two))
    expect(new Set(ofFlow.events.map(({ data }) => data.job_id))).toEqual(new Set([other]))
    const ofRun = await open(`?run_id=${one}`)
    await ofRun.ended()
    expect(ofRun.events[0]?.event).toBe('run.created')
    expect(ofRun.events.at(-1)?.event).toBe('run.finished')
    const again = await open(`?run_id=${one}`, { 'Last-Event-ID': ofRun.lastId })
    await again.ended()
    expect(again.events).toEqual([])
    const { text } = await user.get(`${PATH}?run_id=${one}`).expect(200)
    expect(text).toMatch(/^:connected\n\nretry: \d+\n\n/)
  })

  it('tells of a cancel as it comes', async () => {
    const waiting = await user.flow({ only: { type: 'wait', params: { key: 'never', timeout: '1h' } } })
    const stream = await open(`?job_id=${waiting}`)
    const id = await user.start(waiting, {})
    await stream.until(({ event }) => event === 'step.started')
    await user.delete(`/api/v1/executions/${id}`).expect(200)
    await stream.until(isEnd(id))
    expect(stream.events.at(-1)?.data).toMatchObject({ status: 'cancelled', level: 'info' })
  })
})

describe('what is refused before the first byte is a problem', () => {
  it('of who may not see it', async () => {
    const stranger = await user.colleague('stranger@example.com')
    const id = await user.start(flow, {})
    await stranger.get(`${PATH}?run_id=${id}`).expect(404)
    await user.get(`${PATH}?run_id=run_that_is_not`).expect(404)
    await api.get(PATH).expect(401)
    const theirs = await open('', {}, stranger)
    const mine = await open()
    await mine.until(isEnd(await user.start(flow, {})))
    const own = await stranger.start(
      await stranger.flow({ only: { type: 'transform', params: { script: 'return 1' } } }),
      {},
    )
    await theirs.until(isEnd(own))
    expect(new Set(theirs.events.map(({ data }) => data.run_id))).toEqual(new Set([own]))
  })

  it.each(['x', '-1', '1.5', '%20', '9'.repeat(30), '4503599627370495'])(
    'a cursor that is none: %s',
    async (cursor) => {
      const { body } = await user.get(`${PATH}?last_event_id=${cursor}`).expect(400)
      expect(body).toMatchObject({ type: 'https://flowd.org/problems/validation-error', status: 400, instance: PATH })
      await user.get(PATH).set('Last-Event-ID', decodeURIComponent(cursor)).expect(400)
    },
  )

  it('a cursor whose next events were removed', async () => {
    const feed = api.app.get(RunFeed)
    const now = await feed.now()
    const { default: pg } = await import('pg')
    const client = new pg.Client(api.databaseUrl)
    await client.connect()
    await client.query('insert into run_event_pruned (account_id, position) values ($1, $2)', [
      user.accountId,
      Math.floor(now / 256),
    ])
    const { body } = await user.get(PATH).set('Last-Event-ID', '1').expect(410)
    expect(body).toMatchObject({ type: 'https://flowd.org/problems/stale-cursor', status: 410 })
    await user.get(PATH).set('Last-Event-ID', String(now)).expect(200)
    await client.query('delete from run_event_pruned')
    await client.end()
  })
})

describe('a stream that is open', () => {
  it('ends with a problem when the credential does', async () => {
    const key = await user.post('/api/auth/api-keys', { name: 'Stream', scopes: ['standard'] }).expect(201)
    const stream = await open('', { Authorization: `Bearer ${key.body.token}` })
    await stream.until(isEnd(await user.start(flow, {})))
    await user.delete(`/api/auth/api-keys/${key.body.id}`).expect(204)
    const streams = api.app.get(EventStreams) as unknown as { beat(): void }
    // What the timer does every 15 seconds.
    await vi.waitUntil(
      () => {
        streams.beat()
        return stream.hasEnded
      },
      { interval: 50 },
    )
    expect(stream.events.at(-1)).toMatchObject({
      event: 'error',
      data: { status: 401, type: 'https://flowd.org/problems/unauthorized', instance: PATH },
    })
  })

  it('is over at once where only its headers are asked for', async () => {
    const { headers } = await api.ask('head', PATH).set('Authorization', user.authorization).expect(200)
    expect(headers['content-type']).toBe('text/event-stream')
  })

  it('has a comment now and then, and is let go when its client leaves', async () => {
    const streams = api.app.get(EventStreams)
    const feed = api.app.get(RunFeed)
    const stream = await open()
    await vi.waitUntil(() => feed.followers > 0)
    ;(streams as unknown as { beat(): void }).beat()
    await vi.waitUntil(() => stream.comments.includes('keep-alive'))
    await stream.leave()
    await vi.waitUntil(() => streams.count === 0 && feed.followers === 0)
  })
})
