import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser, type Message, Watcher } from '../../../../test/support/flowrunner-user.js'
import { json, Outside } from '../../../../test/support/outside.js'
import { likeReference } from '../../../../test/support/reference.js'
import { executionChannel } from './execution-channel.js'

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
  api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1' })
  user = await FlowRunnerUser.login(api)
})

afterAll(async () => {
  await api.close()
  await outside.stop()
})

/** The message of that type in FlowRunner's reference. */
function documented(type: string): unknown {
  return likeReference(executionChannel.messages.find((message) => message.type === type)?.example)
}

/** What each message is about, in a few words. */
function told(messages: Message[]): string[] {
  return messages.map(({ type, status, node_id, message }) =>
    [type, status, node_id, message].filter((word) => word !== undefined).join(' '),
  )
}

/** Holds requests to `/data` until it is opened. */
function gate(): { open(): void } {
  const waiting: (() => void)[] = []
  let isOpen = false
  outside.answer('/data', (_, response) => {
    const answer = () => json(response, 200, { key: 'value' })
    if (isOpen) answer()
    else waiting.push(answer)
  })
  return {
    open() {
      isOpen = true
      for (const answer of waiting.splice(0)) answer()
    },
  }
}

const twoNodes = () => ({
  start: {
    type: 'http.request',
    params: { url: outside.url('/data') },
    hooks: { post: 'return { status_code: result.status_code, body: result.body }' },
    next: { default: 'end' },
  },
  end: script('return { output: input.body.key }'),
})

const STORY = [
  'log start Execution started',
  'execution_update running start',
  'log start HTTP request successful',
  'node_completed start',
  'execution_update running end',
  'node_completed end',
  'log end Execution completed',
  'execution_completed completed',
]

describe('the messages, as the reference shows them', () => {
  it('tell of an execution that is completed', async () => {
    const door = gate()
    const id = await user.start(await user.flow(twoNodes()))
    const watcher = user.watch(id)
    await watcher.message(({ node_id }) => node_id === 'start')
    door.open()
    expect(await watcher.closed()).toBe(1000)
    expect(told(watcher.messages)).toEqual(['execution_update running', ...STORY])
    expect(new Set(watcher.messages.map(({ execution_id }) => execution_id))).toEqual(new Set([id]))
    const first = (type: string) => likeReference(watcher.of(type).find(({ node_id }) => node_id === 'start'))
    expect(first('execution_update')).toEqual(documented('execution_update'))
    expect(first('node_completed')).toEqual(documented('node_completed'))
    const log = watcher.messages.find(({ message }) => message === 'HTTP request successful')
    expect(likeReference(log)).toEqual(documented('log'))
    expect(likeReference(watcher.of('execution_completed')[0])).toEqual(documented('execution_completed'))
  })

  it('tell of an execution that fails', async () => {
    const id = await user.start(
      await user.flow({ start: { type: 'http.request', params: { url: outside.url('/status/500') } } }),
    )
    const watcher = user.watch(id)
    expect(await watcher.closed()).toBe(1000)
    expect(likeReference(watcher.messages.at(-1))).toEqual(documented('execution_failed'))
    expect(watcher.of('execution_failed')).toHaveLength(1)
  })

  it('tell of an execution that is cancelled, in the words that the reference has', async () => {
    const id = await user.start(await user.flow({ start: { type: 'wait', params: { key: 'nothing' } } }))
    const watcher = user.watch(id)
    await watcher.message(({ node_id }) => node_id === 'start')
    await user.delete(`/api/v1/executions/${id}`).expect(200)
    expect(await watcher.closed()).toBe(1000)
    expect(watcher.messages.at(-1)).toEqual({
      type: 'execution_update',
      execution_id: id,
      status: 'cancelled',
      timestamp: expect.any(String),
    })
    expect(watcher.messages.filter(({ status }) => status === 'cancelled')).toHaveLength(1)
  })
})

describe('a watcher', () => {
  it('hears the same story once and in order, whether it comes early, in the middle, late or among others', async () => {
    const door = gate()
    const flow = await user.flow(twoNodes())
    const id = await user.start(flow)
    const [early, twin] = [user.watch(id), user.watch(id)]
    await early.message(({ node_id, type }) => type === 'execution_update' && node_id === 'start')
    const middle = user.watch(id)
    await middle.message(({ node_id, type }) => type === 'execution_update' && node_id === 'start')
    door.open()
    for (const watcher of [early, twin, middle]) {
      expect(await watcher.closed()).toBe(1000)
      expect(told(watcher.messages)).toEqual(['execution_update running', ...STORY])
    }
    const late = user.watch(id)
    expect(await late.closed()).toBe(1000)
    expect(told(late.messages)).toEqual(['execution_update completed', ...STORY])
    expect(late.messages.slice(1)).toEqual(early.messages.slice(1))
    expect(early.messages.slice(1)).toEqual(twin.messages.slice(1))
    expect(late.messages.slice(1, -1).map(({ timestamp }) => timestamp)).toEqual(
      late.messages
        .slice(1, -1)
        .map(({ timestamp }) => timestamp)
        .sort(),
    )
    const execution = await user.execution(id)
    expect(late.messages.at(-1)).toMatchObject({ result: execution.result, timestamp: execution.completed_at })
  })

  it('hears hundreds of events of many executions without one missing', async () => {
    const flow = await user.flow({
      start: {
        type: 'transform',
        params: { items: '${input.numbers}', script: 'console.log("item " + item); return item' },
        batch: { strategy: 'parallel' },
      },
    })
    const numbers = Array.from({ length: 150 }, (_, index) => index)
    const watchers = await Promise.all(
      Array.from({ length: 5 }, async () => user.watch(await user.start(flow, { numbers }))),
    )
    for (const watcher of watchers) {
      expect(await watcher.closed()).toBe(1000)
      const items = watcher.of('log').flatMap(({ message }) => /^item (\d+)$/.exec(message)?.[1] ?? [])
      expect(items.map(Number).sort((a, b) => a - b)).toEqual(numbers)
      expect(watcher.messages.at(-1)?.type).toBe('execution_completed')
    }
  })

  it('that goes away, or says something, harms nobody', async () => {
    const door = gate()
    const id = await user.start(await user.flow(twoNodes()))
    const [gone, talking] = [user.watch(id), user.watch(id)]
    await talking.message(({ node_id }) => node_id === 'start')
    talking.socket.send('{"type":"ping"}')
    gone.socket.terminate()
    door.open()
    expect(await talking.closed()).toBe(1000)
    expect((await user.execution(id)).status).toBe('completed')
  })

  it('that reads nothing does not hold up the execution', async () => {
    const flow = await user.flow({
      start: script('return { text: "x".repeat(1000000) }', { default: 'again' }),
      again: script('return input.n > 8 ? "enough" : { n: (input.n ?? 0) + 1, text: input.text }', {
        default: 'decide',
      }),
      decide: { type: 'condition', params: { condition_script: 'return typeof input' }, next: { object: 'loop' } },
      loop: script('return results.again', { default: 'again' }),
    })
    const id = await user.start(flow)
    const { port } = api.app.getHttpServer().address() as AddressInfo
    const deaf = connect(port, '127.0.0.1')
    deaf.pause()
    deaf.write(
      [
        `GET /ws/executions/${id}?token=${user.token} HTTP/1.1`,
        'Host: localhost',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        '',
        '',
      ].join('\r\n'),
    )
    expect((await user.ended(id)).status).toBe('completed')
    deaf.destroy()
  })
})

describe('a connection', () => {
  let id: string

  beforeAll(async () => {
    id = (await user.outcome({ start: script('return 1') })).id
  })

  const refused = async (path: string, headers?: Record<string, string>) => {
    const watcher = new Watcher(api, path, headers)
    const code = await watcher.closed()
    return { code, problem: watcher.of('error')[0]?.problem, messages: watcher.messages }
  }

  it('is let in by header or by ?token=', async () => {
    expect(await user.watch(id).closed()).toBe(1000)
    const byQuery = new Watcher(api, `/ws/executions/${id}?token=${user.token}`)
    expect(await byQuery.closed()).toBe(1000)
    expect(byQuery.messages.at(-1)).toMatchObject({ type: 'execution_completed', result: { result: 1 } })
  })

  it('without a valid token is told so and closed with 4401', async () => {
    for (const [query, headers] of [
      ['', undefined],
      ['?token=', undefined],
      ['?token=made.up.token', undefined],
      ['', { authorization: 'Bearer made.up.token' }],
      ['', { authorization: `Basic ${Buffer.from('admin@example.com:wrong').toString('base64')}` }],
    ] as const) {
      const { code, problem, messages } = await refused(`/ws/executions/${id}${query}`, headers)
      expect(code).toBe(4401)
      expect(problem).toMatchObject({ status: 401, error: { code: 'unauthorized' }, instance: `/ws/executions/${id}` })
      expect(messages).toHaveLength(1)
    }
    const leaver = await user.colleague('leaver@example.com')
    await leaver.post('/api/v1/auth/logout').expect(200)
    expect((await refused(`/ws/executions/${id}?token=${leaver.token}`)).code).toBe(4401)
  })

  it('is told nothing more once its token has ended, and closed with 4401', async () => {
    const leaver = await user.colleague('leaving-early@example.com')
    const tick = { type: 'delay', params: { duration: '100ms' } }
    const id = await leaver.start(
      await leaver.flow({
        start: { ...tick, next: { default: 'tick' } },
        tick: { ...tick, next: { default: 'tock' } },
        tock: { ...tick, next: { default: 'tick' } },
      }),
    )
    const watcher = leaver.watch(id)
    await watcher.message(({ node_id }) => node_id === 'tick')
    const again = await FlowRunnerUser.login(api, {
      email: 'leaving-early@example.com',
      password: 'correct horse battery',
    })
    await leaver.post('/api/v1/auth/logout').expect(200)
    expect(await watcher.closed()).toBe(4401)
    expect((await again.execution(id)).status).toBe('running')
    await again.delete(`/api/v1/executions/${id}`).expect(200)
  })

  it("to what does not exist, or is another's, is told the same and closed with 4404", async () => {
    const stranger = await user.colleague('watcher@example.com')
    const as = { authorization: stranger.authorization }
    const unknownId = 'run_00000000000000000000000000'
    const unknown = await refused(`/ws/executions/${unknownId}`, as)
    const foreign = await refused(`/ws/executions/${id}`, as)
    for (const [answer, asked] of [
      [unknown, unknownId],
      [foreign, id],
    ] as const) {
      expect(answer.code).toBe(4404)
      expect(answer.messages).toHaveLength(1)
      expect(answer.problem).toEqual({
        type: '/problems/run-not-found',
        title: 'Execution not found',
        status: 404,
        detail: `Execution with ID ${asked} not found`,
        instance: `/ws/executions/${asked}`,
        requestId: expect.stringMatching(/^req_/),
        error: { code: 'not_found', message: `Execution with ID ${asked} not found` },
      })
    }
    expect((await refused('/ws/executions/%00', as)).code).toBe(4400)
    expect((await refused('/ws/executions/x%27%20or%201=1', as)).code).toBe(4404)
  })

  it('is closed with 1001 when the server stops, and the story goes on at the next', async () => {
    const stopping = await apiUnderTest()
    const there = await FlowRunnerUser.login(stopping)
    const waiting = await there.start(await there.flow({ start: { type: 'wait', params: { key: 'later' } } }))
    const watcher = there.watch(waiting)
    await watcher.message(({ node_id }) => node_id === 'start')
    await stopping.close()
    expect(await watcher.closed()).toBe(1001)
  })
})
