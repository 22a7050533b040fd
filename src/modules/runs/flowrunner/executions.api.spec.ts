import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { json, Outside } from '../../../../test/support/outside.js'
import { likeReference } from '../../../../test/support/reference.js'
import { DEFINITION } from '../../flows/flowrunner/flows.examples.js'
import * as examples from './executions.examples.js'

const script = (code: string, next?: Record<string, string>) => ({
  type: 'transform',
  params: { script: code },
  ...(next && { next }),
})

let api: ApiUnderTest
let user: FlowRunnerUser
let outside: Outside

beforeAll(async () => {
  outside = await Outside.start()
  api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1', SCRIPT_TIMEOUT_MS: '3000' })
  user = await FlowRunnerUser.login(api)
})

afterAll(async () => {
  await api.close()
  await outside.stop()
})

const runs = (flowId: string, body: object, key?: string) => {
  const request = user.post(`/api/v1/flows/${flowId}/run`, body)
  return key === undefined ? request : request.set('Idempotency-Key', key)
}

describe('flow execution, as the reference shows it', () => {
  let flow: string
  let id: string

  beforeAll(async () => {
    flow = await user.flow({
      start: { type: 'http.request', params: { url: outside.url('/${input.page}') }, next: { default: 'end' } },
      end: script('return { output: input.body.key }'),
    })
  })

  it('runs a flow', async () => {
    const failing = await user.start(flow, { page: 'status/500' })
    await user.ended(failing)
    const { body, headers } = await runs(flow, { input: { key: 'value', page: 'data' } }).expect(201)
    expect(likeReference(body)).toEqual(likeReference(examples.accepted))
    id = body.execution_id
    expect(headers.location).toBe(`/api/v1/executions/${id}`)
    await user.ended(id)
  })

  it('lists executions, newest first', async () => {
    const { body } = await user.get(`/api/v1/executions?flow_id=${flow}`).expect(200)
    expect(likeReference(body)).toEqual(likeReference(examples.executionList))
  })

  it('gets an execution', async () => {
    const echo = await user.flow({ start: script('return { output: input.key }') })
    const done = await user.ended(await user.start(echo, { key: 'value' }))
    expect(likeReference(done)).toEqual(likeReference(examples.execution))
    expect(done.duration).toBe(Date.parse(done.completed_at ?? '') - Date.parse(done.started_at))
  })

  it("gets an execution's logs", async () => {
    const definition = DEFINITION.replace('https://api.example.com/data', outside.url('/data')).replace(
      'https://webhook.example.com/callback',
      outside.url('/callback'),
    )
    const done = await user.ended(await user.start(await user.flow(definition)))
    expect(done).toMatchObject({ status: 'completed', result: { status: 'sent', status_code: 200 } })
    const { body } = await user.get(`/api/v1/executions/${done.id}/logs`).expect(200)
    expect(likeReference(body)).toEqual(likeReference(examples.logs))
    const [callback] = outside.at('/callback')
    expect(JSON.parse(callback?.body ?? '')).toMatchObject({ status_code: 200, body: { key: 'value' } })
  })

  it('cancels an execution', async () => {
    const waiting = await user.start(await user.flow({ start: { type: 'delay', params: { duration: '1h' } } }))
    const { body } = await user.delete(`/api/v1/executions/${waiting}`).expect(200)
    expect(body).toEqual(examples.cancelledExecution)
    const cancelled = await user.execution(waiting)
    expect(cancelled.status).toBe('cancelled')
    expect(cancelled).not.toHaveProperty('result')
    expect(cancelled).not.toHaveProperty('error')
    expect(cancelled.duration).toEqual(expect.any(Number))
  })

  it('does not find what is not there, in its own words', async () => {
    const unknown = 'run_00000000000000000000000000'
    for (const answer of [
      await user.get(`/api/v1/executions/${unknown}`).expect(404),
      await user.get(`/api/v1/executions/${unknown}/logs`).expect(404),
      await user.delete(`/api/v1/executions/${unknown}`).expect(404),
    ]) {
      expect(answer.body).toMatchObject({
        title: 'Execution not found',
        detail: `Execution with ID ${unknown} not found`,
        error: { code: 'not_found', message: `Execution with ID ${unknown} not found` },
      })
    }
    const conflict = await user.delete(`/api/v1/executions/${id}`).expect(409)
    expect(conflict.body).toMatchObject({
      title: 'Execution already finished',
      error: { code: 'conflict', message: `Execution ${id} is already completed` },
    })
  })
})

describe('a request to run', () => {
  let flow: string

  beforeAll(async () => {
    flow = await user.flow({ start: script('return input') })
  })

  it('needs no input, and takes nothing but an object', async () => {
    const { body } = await runs(flow, {}).expect(201)
    expect(await user.ended(body.execution_id)).toMatchObject({ input: {}, result: {} })
    const empty = await api.post(`/api/v1/flows/${flow}/run`).set('Authorization', user.authorization).expect(201)
    expect((await user.ended(empty.body.execution_id)).input).toEqual({})
    for (const input of [1, 'text', [1], null]) await runs(flow, { input }).expect(422)
    await runs(flow, { input: {}, inputs: {} }).expect(422)
    await runs(flow, { input: { text: '\0' } }).expect(422)
  })

  it('keeps the input as it came', async () => {
    const input = '{"z":1,"a b":[null,1.5,-0.25,true,{"ü":"\u{1F600}"}],"n":9007199254740991,"o":{}}'
    const { body } = await api
      .post(`/api/v1/flows/${flow}/run`)
      .set('Authorization', user.authorization)
      .type('json')
      .send(`{"input":${input}}`)
      .expect(201)
    const done = await user.ended(body.execution_id)
    expect(JSON.stringify(done.input)).toBe(input)
  })

  it('with an Idempotency-Key is the same execution each time', async () => {
    const first = await runs(flow, { input: { a: 1 } }, 'key-1').expect(201)
    await user.ended(first.body.execution_id)
    const again = await runs(flow, { input: { a: 1 } }, 'key-1').expect(201)
    expect(again.body.execution_id).toBe(first.body.execution_id)
    expect(again.body.created_at).toBe(first.body.created_at)
    expect(again.headers.location).toBe(first.headers.location)
    const other = await runs(flow, { input: { a: 2 } }, 'key-1').expect(422)
    expect(other.body).toMatchObject({ type: '/problems/idempotency-key-reused', error: { code: 'validation_error' } })
    const another = await user.flow({ start: script('return 1') })
    const independent = await runs(another, { input: { a: 2 } }, 'key-1').expect(201)
    expect(independent.body.execution_id).not.toBe(first.body.execution_id)
    await runs(flow, {}, 'no spaces').expect(400)
    await runs(flow, {}, 'x'.repeat(256)).expect(400)
  })

  it('with an Idempotency-Key is one execution, however many ask at once', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => runs(flow, { input: { b: 1 } }, 'key-2')))
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(201))
    expect(new Set(answers.map(({ body }) => body.execution_id)).size).toBe(1)
  })

  it('is answered for fifty at once, and each ends with its own result', async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, (_, number) => user.start(flow, { number })))
    expect(new Set(ids).size).toBe(50)
    const ended = await Promise.all(ids.map((id) => user.ended(id)))
    expect(ended.map(({ result }) => result.number)).toEqual(Array.from({ length: 50 }, (_, number) => number))
  })
})

describe('a list of executions', () => {
  let flow: string
  let ids: string[]

  beforeAll(async () => {
    flow = await user.flow({
      start: {
        type: 'condition',
        params: { condition_script: 'return input.way' },
        next: { wait: 'wait', fail: 'fail' },
      },
      wait: { type: 'wait', params: { key: 'never comes' } },
      fail: script('throw new Error("as asked")'),
    })
    ids = []
    for (const way of ['on', 'fail', 'wait', 'on', 'wait']) ids.push(await user.start(flow, { way }))
    const [one = '', two = '', , three = '', last = ''] = ids
    await Promise.all([one, two, three].map((id) => user.ended(id)))
    await user.delete(`/api/v1/executions/${last}`).expect(200)
  })

  const list = async (query: string) => (await user.get(`/api/v1/executions?flow_id=${flow}${query}`).expect(200)).body
  const idsOf = (body: { executions: { id: string }[] }) => body.executions.map(({ id }) => ids.indexOf(id))

  it('is filtered by status, in either spelling', async () => {
    expect(idsOf(await list('&status=completed'))).toEqual([3, 0])
    expect(idsOf(await list('&status=failed'))).toEqual([1])
    expect(idsOf(await list('&status=running'))).toEqual([2])
    expect(idsOf(await list('&status=cancelled'))).toEqual([4])
    expect(idsOf(await list('&status=canceled'))).toEqual([4])
    const { executions } = await list('&status=running')
    expect(Object.keys(executions[0])).toEqual(['id', 'flow_id', 'status', 'started_at'])
    await user.get('/api/v1/executions?status=waiting').expect(400)
  })

  it('comes in pages, newest first, with the total before paging', async () => {
    expect(idsOf(await list(''))).toEqual([4, 3, 2, 1, 0])
    const page = await list('&limit=2&offset=1')
    expect(idsOf(page)).toEqual([3, 2])
    expect(page).toMatchObject({ total: 5, limit: 2, offset: 1 })
    expect(await list('&limit=1000')).toMatchObject({ total: 5, limit: 100 })
    expect(await list('&status=completed&limit=1')).toMatchObject({ total: 2, limit: 1 })
    for (const query of ['limit=0', 'limit=-1', 'limit=x', 'offset=-1', 'since=1'])
      await user.get(`/api/v1/executions?${query}`).expect(400)
  })

  it("shows nothing of another account's, of which it says the same as of nothing", async () => {
    const stranger = await user.colleague('stranger@example.com')
    expect((await stranger.get('/api/v1/executions').expect(200)).body.total).toBe(0)
    expect((await stranger.get(`/api/v1/executions?flow_id=${flow}`).expect(200)).body.total).toBe(0)
    const [id = ''] = ids
    for (const path of [`/api/v1/executions/${id}`, `/api/v1/executions/${id}/logs`]) {
      const { body } = await stranger.get(path).expect(404)
      expect(body.detail).toBe(`Execution with ID ${id} not found`)
    }
    await stranger.delete(`/api/v1/executions/${ids[2]}`).expect(404)
    expect((await user.execution(ids[2] ?? '')).status).toBe('running')
  })
})

describe('a log', () => {
  let id: string

  beforeAll(async () => {
    const done = await user.outcome({
      start: script(
        'console.debug("fine"); console.log("plain", {a: 1}); console.warn("careful"); console.error("bad"); return 1',
      ),
    })
    id = done.id
  })

  it('is filtered by exactly one level, and counted before it is paged', async () => {
    const messages = async (query: string) => (await user.logs(id, query)).map(({ message }) => message)
    expect(await messages('')).toEqual([
      'Execution started',
      'fine',
      'plain {"a":1}',
      'careful',
      'bad',
      'Execution completed',
    ])
    expect(await messages('?level=debug')).toEqual(['fine'])
    expect(await messages('?level=warn')).toEqual(['careful'])
    expect(await messages('?level=error')).toEqual(['bad'])
    const { body } = await user.get(`/api/v1/executions/${id}/logs?level=info&limit=1&offset=1`).expect(200)
    expect(body).toMatchObject({ logs: [{ message: 'plain {"a":1}' }], total: 3, limit: 1, offset: 1 })
    for (const query of ['level=warning', 'level=', 'limit=0', 'offset=x'])
      await user.get(`/api/v1/executions/${id}/logs?${query}`).expect(400)
    expect((await user.get(`/api/v1/executions/${id}/logs?limit=5000`).expect(200)).body.limit).toBe(1000)
  })

  it('can be read while the execution runs', async () => {
    const waiting = await user.start(
      await user.flow({
        start: script('return 1', { default: 'wait' }),
        wait: { type: 'wait', params: { key: 'no' } },
      }),
    )
    await vi.waitFor(async () =>
      expect((await user.logs(waiting)).map(({ message }) => message)).toEqual(['Execution started']),
    )
    await user.delete(`/api/v1/executions/${waiting}`).expect(200)
  })
})

describe('cancelling', () => {
  async function cancelled(id: string): Promise<void> {
    await user.delete(`/api/v1/executions/${id}`).expect(200)
    const execution = await user.execution(id)
    expect(execution.status).toBe('cancelled')
    const again = await user.delete(`/api/v1/executions/${id}`).expect(409)
    expect(again.body.error.message).toBe(`Execution ${id} is already cancelled`)
    expect(await user.execution(id)).toEqual(execution)
  }

  it('aborts the HTTP call in flight', async () => {
    const flow = await user.flow({
      start: { type: 'http.request', params: { url: outside.url('/never') }, next: { default: 'end', error: 'end' } },
      end: { type: 'webhook', params: { url: outside.url('/after-cancel') } },
    })
    const arrival = outside.arrival('/never')
    const id = await user.start(flow)
    const { gone } = await arrival
    await cancelled(id)
    await gone
    expect(outside.at('/after-cancel')).toEqual([])
    expect((await user.logs(id)).map(({ message }) => message)).toEqual(['Execution started'])
  })

  it('kills a script that would never end, so that the next has its place', async () => {
    const endless = await user.flow({ start: script('console.log("begun"); while (true) {}') })
    const ids = await Promise.all([user.start(endless), user.start(endless), user.start(endless)])
    const startedAt = performance.now()
    for (const id of ids) await cancelled(id)
    expect((await user.outcome({ start: script('return { ok: true }') })).result).toEqual({ ok: true })
    expect(performance.now() - startedAt).toBeLessThan(2_900)
  })

  it('ends delays and waits', async () => {
    for (const node of [
      { type: 'delay', params: { duration: '1s' } },
      { type: 'delay', params: { duration: '24h' } },
      { type: 'wait', params: { key: 'nobody sends this' } },
      { type: 'wait', params: { type: 'condition', condition: 'return false', interval: '1s', max_attempts: 100 } },
    ]) {
      const id = await user.start(await user.flow({ start: node }))
      await vi.waitFor(async () => expect(await user.logs(id)).toHaveLength(1))
      await cancelled(id)
    }
  })

  it('ends a retry and a batch', async () => {
    outside.answer('/flaky', (_, response) => json(response, 503, {}))
    const flow = await user.flow({
      start: {
        type: 'http.request',
        params: { items: '${input.items}', url: outside.url('/flaky') },
        batch: { strategy: 'serial' },
        retry: { max_retries: 100, wait: '100ms' },
      },
    })
    const arrival = outside.arrival('/flaky')
    const id = await user.start(flow, { items: [1, 2, 3] })
    await arrival
    await cancelled(id)
  })

  it('is one cancel, however many ask at once', async () => {
    const id = await user.start(await user.flow({ start: { type: 'delay', params: { duration: '1h' } } }))
    const answers = await Promise.all(Array.from({ length: 5 }, () => user.delete(`/api/v1/executions/${id}`)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409, 409])
  })
})
