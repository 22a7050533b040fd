import { once } from 'node:events'
import type { NestExpressApplication } from '@nestjs/platform-express'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { ADMIN, type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { testConfig } from '../../../../test/support/config.js'
import { FlowRunnerUser, type Message, Watcher } from '../../../../test/support/flowrunner-user.js'
import { createApp } from '../../../app/create-app.js'
import { createLog } from '../../../platform/log/log.js'
import { playChannel } from './play-channel.js'

type Layer = { ref: string; appId: string; index: number } & Record<string, unknown>

let api: ApiUnderTest
/** A second process, as it were, on the same database. */
let second: NestExpressApplication
let user: FlowRunnerUser
const watchers: Watcher[] = []

beforeAll(async () => {
  api = await apiUnderTest()
  const config = testConfig({ DATABASE_URL: api.databaseUrl })
  second = await createApp({ config, log: createLog(config) })
  await second.listen(0, '127.0.0.1')
  user = await FlowRunnerUser.login(api)
})

afterEach(() => {
  for (const { socket } of watchers.splice(0)) socket.terminate()
})

afterAll(async () => {
  await second.close()
  await api.close()
})

const set = (ref: string, index: number, values: object = {}, more: object = {}): Layer => ({
  ref,
  appId: 'var',
  index,
  args: { values },
  ...more,
})
const ASK = [set('first', 0, { n: 1 }), set('ask', 1, { asked: true }, { needsApproval: true }), set('last', 2)]

async function flow(layers: Layer[]): Promise<string> {
  return (await user.post('/api/flows', { name: 'Spec', layers }).expect(201)).body.id
}

async function started(flowId: string, args: object = {}): Promise<string> {
  return (await user.post(`/api/flows/${flowId}/run`, { args }).expect(201)).body.playId
}

const approve = (id: string) =>
  user.post(`/api/plays/${id}/approve`, { layerId: 'ask', decision: 'approved' }).expect(200)

/** Watches, and says what it wants to hear, if anything. */
async function watch(
  subscription?: object,
  { app = api.app, by = user, query = '' }: { app?: NestExpressApplication; by?: FlowRunnerUser; query?: string } = {},
): Promise<Watcher> {
  const watcher = new Watcher({ app }, `/api/ws${query}`, { authorization: by.authorization }, '/api/ws')
  watchers.push(watcher)
  await once(watcher.socket, 'open')
  if (!subscription) return watcher
  say(watcher, subscription)
  // Nothing tells that it holds; but what is answered to a ping was read after it.
  watcher.socket.ping()
  await once(watcher.socket, 'pong')
  return watcher
}

function say(watcher: Watcher, subscription: object): void {
  watcher.socket.send(JSON.stringify({ type: 'subscribe', ...subscription }))
}

const of = (watcher: Watcher, id: string) => watcher.messages.filter(({ playId }) => playId === id)
const END = ['play:completed', 'play:failed', 'play:cancelled']

async function heard(watcher: Watcher, id: string, type: string | string[]): Promise<Message> {
  return await watcher.message((message) => message.playId === id && [type].flat().includes(message.type))
}

/** What each message says, in a few words. */
function told(messages: Message[]): string[] {
  return messages.map(({ seq, type, path, ref, state }) =>
    [seq, type, path ?? ref, state].filter((word) => word !== undefined).join(' '),
  )
}

const gapless = (messages: Message[]) => messages.map(({ seq }) => seq)
const upTo = (last: number, from = 1) => Array.from({ length: last - from + 1 }, (_, index) => index + from)

/** The members of the message of this type as it is documented. */
function documented(type: string): string[] {
  return Object.keys(playChannel.messages.find((message) => message.type === type)?.example ?? {}).sort()
}

const STORY = [
  '1 play:started RUN',
  '2 play:layer:started first RUN',
  '3 play:layer:completed first DONE',
  '4 play:layer:started ask RUN',
  '5 play:waiting ask WAIT',
  '6 play:layer:completed ask DONE',
  '7 play:layer:started last RUN',
  '8 play:layer:completed last DONE',
  '9 play:completed DONE',
]

describe('a watcher', () => {
  it('hears of a play from its start to its end, in the documented words', async () => {
    const watcher = await watch()
    const flowId = await flow(ASK)
    const id = await started(flowId)
    await heard(watcher, id, 'play:waiting')
    await approve(id)
    await heard(watcher, id, END)
    const messages = of(watcher, id)
    expect(told(messages)).toEqual(STORY)
    for (const message of messages) {
      expect(Object.keys(message).sort()).toEqual(documented(message.type))
      expect(message).toMatchObject({ playId: id, flowId })
    }
    const { layers } = (await user.get(`/api/flows/${flowId}`).expect(200)).body
    expect(messages[2]).toMatchObject({ layerId: layers[0].id, ref: 'first', out: { n: 1 } })
    const { body } = await user.get(`/api/plays/${id}`).expect(200)
    expect(messages.at(-1)).toMatchObject({ duration: body.duration, timestamp: body.completedAt })
  })

  it('hears of failures, cancels, filters and rounds', async () => {
    const watcher = await watch()
    const failing = await started(await flow([set('a', 0, { x: '{{ index (list) 5 }}' })]))
    await heard(watcher, failing, END)
    expect(told(of(watcher, failing))).toEqual([
      '1 play:started RUN',
      '2 play:layer:started a RUN',
      '3 play:layer:failed a FAIL',
      '4 play:failed a FAIL',
    ])
    for (const message of of(watcher, failing)) expect(Object.keys(message).sort()).toEqual(documented(message.type))
    const cancelled = await started(await flow(ASK))
    await heard(watcher, cancelled, 'play:waiting')
    await user.delete(`/api/plays/${cancelled}`).expect(204)
    await heard(watcher, cancelled, END)
    expect(told(of(watcher, cancelled)).slice(5)).toEqual(['6 play:cancelled SKIP'])
    const looping = await started(
      await flow([
        { ref: 'each', appId: 'iterator', index: 0, args: { items: [1, 2] } },
        set('inside', 1, {}, { filters: [{ leftValue: '{{ $prev.each.item }}', operator: 'eq', rightValue: 2 }] }),
      ]),
    )
    await heard(watcher, looping, END)
    expect(told(of(watcher, looping)).slice(2, -2)).toEqual([
      '3 play:layer:started each[0].inside RUN',
      '4 play:layer:completed each[0].inside FILTERED',
      '5 play:layer:started each[1].inside RUN',
      '6 play:layer:completed each[1].inside DONE',
    ])
  })

  it('hears what another process runs', async () => {
    const [here, there] = [await watch(), await watch(undefined, { app: second })]
    const ids = await Promise.all(Array.from({ length: 5 }, async () => started(await flow(ASK))))
    for (const watcher of [here, there]) for (const id of ids) await heard(watcher, id, 'play:waiting')
    for (const id of ids) await approve(id)
    for (const watcher of [here, there])
      for (const id of ids) {
        await heard(watcher, id, END)
        expect(told(of(watcher, id))).toEqual(STORY)
      }
    expect(of(here, ids[0] ?? '')).toEqual(of(there, ids[0] ?? ''))
  })

  it('hears every message of many plays once, and in order', async () => {
    const watcher = await watch()
    const flowId = await flow([set('a', 0), set('b', 0), set('c', 1), set('d', 2)])
    const ids = await Promise.all(Array.from({ length: 40 }, () => started(flowId)))
    for (const id of ids) {
      await heard(watcher, id, END)
      expect(gapless(of(watcher, id))).toEqual(upTo(10))
    }
  })

  it('hears of plays that were under way only what happens from now on', async () => {
    const id = await started(await flow(ASK))
    const early = await watch({ playIds: [id], after: { [id]: 0 } })
    await heard(early, id, 'play:waiting')
    const late = await watch()
    await approve(id)
    await heard(late, id, END)
    expect(told(of(late, id))).toEqual(STORY.slice(5))
    await heard(early, id, END)
    expect(told(of(early, id))).toEqual(STORY)
  })

  it('hears nothing of others', async () => {
    const stranger = await user.colleague('stranger@example.com')
    const id = await started(await flow(ASK))
    const watcher = await watch({ playIds: [id], after: { [id]: 0 } }, { by: stranger })
    const own = await watch()
    await vi.waitUntil(async () => (await user.get(`/api/plays/${id}`)).body.state === 'WAIT', { timeout: 15_000 })
    await approve(id)
    await heard(own, id, END)
    const mine = (await stranger.post('/api/flows', { name: 'Mine', layers: [set('a', 0)] }).expect(201)).body.id
    say(watcher, {})
    const play = (await stranger.post(`/api/flows/${mine}/run`).expect(201)).body.playId
    await heard(watcher, play, END)
    expect(new Set(watcher.messages.map(({ playId }) => playId))).toEqual(new Set([play]))
  })
})

describe('a subscription', () => {
  it('chooses by flow, by play and by type', async () => {
    const [one, other] = [await flow([set('a', 0)]), await flow([set('a', 0)])]
    const byFlow = await watch({ flowIds: [one] })
    const byType = await watch({ types: ['play:completed', 'play:failed'] })
    const ids = [await started(other), await started(one)]
    const [, last = ''] = ids
    await heard(byFlow, last, END)
    expect(new Set(byFlow.messages.map(({ flowId }) => flowId))).toEqual(new Set([one]))
    for (const id of ids) await heard(byType, id, END)
    expect(new Set(byType.messages.map(({ type }) => type))).toEqual(new Set(['play:completed']))
    const byPlay = await watch({ playIds: [last], after: { [last]: 2 } })
    await heard(byPlay, last, END)
    expect(gapless(byPlay.messages)).toEqual([3, 4])
  })

  it('resumes on another connection without losing or repeating a message', async () => {
    const flowId = await flow(ASK)
    const first = await watch({ flowIds: [flowId] })
    const known = await started(flowId)
    await heard(first, known, 'play:waiting')
    first.socket.terminate()
    const [{ timestamp: since = '' } = {} as Message] = first.messages.slice(-1)
    // While nobody listens one goes on, and others come and go.
    await approve(known)
    const missed = await started(flowId)
    await vi.waitUntil(async () => (await user.get(`/api/plays/${missed}`)).body.state === 'WAIT', { timeout: 15_000 })
    await user.delete(`/api/plays/${missed}`).expect(204)
    await user.ended(known)
    const after = { [known]: of(first, known).length }
    const again = await watch({ flowIds: [flowId], after, since }, { app: second })
    for (const id of [known, missed]) await heard(again, id, END)
    expect(gapless([...of(first, known), ...of(again, known)])).toEqual(upTo(STORY.length))
    expect(gapless(of(again, missed))).toEqual(upTo(6))
  })

  it('takes the place of the one before, and goes on where that was', async () => {
    const flowId = await flow(ASK)
    const watcher = await watch()
    const id = await started(flowId)
    for (let round = 0; round < 10; round++) say(watcher, { flowIds: [flowId] })
    await heard(watcher, id, 'play:waiting')
    say(watcher, {})
    await approve(id)
    say(watcher, { types: undefined })
    await heard(watcher, id, END)
    expect(told(of(watcher, id))).toEqual(STORY)
  })

  it('may change at any moment: no message is lost, and none comes twice', async () => {
    const flowId = await flow([set('a', 0), set('b', 1), set('c', 2)])
    const watcher = await watch()
    const starting = Promise.all(Array.from({ length: 30 }, () => started(flowId)))
    for (let round = 0; round < 40; round++) {
      say(watcher, round % 2 === 0 ? { flowIds: [flowId] } : {})
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (const id of await starting) {
      await heard(watcher, id, END)
      expect(gapless(of(watcher, id))).toEqual(upTo(8))
    }
  })

  it.each([
    ['no JSON', 'is JSON'],
    ['{"type":"hello"}', "type is 'subscribe'"],
    ['{"type":"subscribe","flowIds":"one"}', "'flowIds' is a list"],
    ['{"type":"subscribe","types":["play:paused"]}', "'types' holds only"],
    ['{"type":"subscribe","after":{"run_1":-1}}', "'after' holds the seq"],
    ['{"type":"subscribe","after":[1]}', "'after' is an object"],
    ['{"type":"subscribe","since":"yesterday"}', "'since' is a moment"],
    ['{"type":"subscribe","since":"2001-01-01T00:00:00Z"}', '24 hours at most'],
    ['{"type":"subscribe","from":1}', "'from' is not known"],
  ])('that is %s is refused', async (text, detail) => {
    const watcher = await watch()
    watcher.socket.send(text)
    expect(await watcher.closed()).toBe(4400)
    expect(watcher.messages.at(-1)).toMatchObject({ type: 'error', problem: { statusCode: 400 } })
    expect(watcher.messages.at(-1)?.problem.message).toContain(detail)
  })
})

describe('the credential', () => {
  it('is a bearer token, a token in the query, or the cookie of a session', async () => {
    const login = await api.post('/api/auth/login').send(ADMIN).expect(200)
    const cookie = String(login.headers['set-cookie']).split(';')[0] ?? ''
    const flowId = await flow([set('a', 0)])
    const connect = async (path: string, headers: Record<string, string>) => {
      const watcher = new Watcher(api, path, headers, '/api/ws')
      watchers.push(watcher)
      await once(watcher.socket, 'open')
      return watcher
    }
    const all = [await connect('/api/ws', { cookie }), await connect(`/api/ws?token=${user.token}`, {})]
    const id = await started(flowId)
    for (const watcher of all) {
      await heard(watcher, id, END)
      expect(gapless(of(watcher, id))).toEqual(upTo(4))
    }
    for (const headers of [{}, { authorization: 'Bearer x.y.z' }, { cookie, origin: 'http://elsewhere.example' }]) {
      const refused = await connect('/api/ws', headers as Record<string, string>)
      expect([4401, 4403]).toContain(await refused.closed())
      expect(refused.messages).toMatchObject([{ type: 'error', problem: { statusCode: expect.any(Number) } }])
    }
  })

  it('that has ended is told nothing more', async () => {
    const leaving = await FlowRunnerUser.login(api)
    const watcher = await watch(undefined, { by: leaving })
    const id = await started(await flow(ASK))
    await heard(watcher, id, 'play:waiting')
    await leaving.post('/api/v1/auth/logout').expect(200)
    // What was looked at a moment ago counts for a second.
    const quick = await flow([set('a', 0)])
    const isClosed = async () => {
      await started(quick)
      return watcher.socket.readyState === watcher.socket.CLOSED
    }
    await vi.waitUntil(isClosed, { timeout: 15_000, interval: 50 })
    expect(await watcher.closed()).toBe(4401)
    expect(told(of(watcher, id))).toEqual(STORY.slice(0, 5))
    await user.delete(`/api/plays/${id}`).expect(204)
  })
})
