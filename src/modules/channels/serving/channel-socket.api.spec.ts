import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import type { Message } from '../../../../test/support/flowrunner-user.js'
import { published } from '../../../../test/support/published-messages.js'
import { systemClock } from '../../../platform/clock/clock.js'
import { ChannelsInUse, type RouteOf, scripted, TOKEN, WAITS } from './channels-in-use.fake.js'

let world: ChannelsInUse
let failing: string
let waiting: string
const talkers: Talker[] = []

beforeAll(async () => {
  world = await ChannelsInUse.start()
  failing = await world.user.flow(scripted('throw new Error("the cellar is flooded")'))
  waiting = await world.user.flow(WAITS)
})

afterEach(() => {
  for (const { socket } of talkers.splice(0)) socket.terminate()
})

afterAll(() => world.api.close())

/** One connection to a channel. Every message is held against the published AsyncAPI document. */
class Talker {
  readonly messages: Message[] = []
  readonly faults: string[] = []
  readonly socket: WebSocket
  readonly closed: Promise<[number, Buffer]>

  constructor(at: ChannelsInUse, path: string, headers: Record<string, string> = { 'x-channel-token': TOKEN }) {
    const { port } = at.api.app.getHttpServer().address() as AddressInfo
    this.socket = new WebSocket(`ws://127.0.0.1:${port}/channels/${path}`, { headers })
    this.socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as Message
      this.faults.push(...published(at.api.app).faults('/channels/{channel_id}', message))
      this.messages.push(message)
    })
    this.closed = once(this.socket, 'close') as Promise<[number, Buffer]>
    talkers.push(this)
  }

  /** Says it as soon as the connection is open. */
  async say(message: unknown): Promise<void> {
    if (this.socket.readyState === WebSocket.CONNECTING) await once(this.socket, 'open')
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  async heard(type: string, count = 1): Promise<Message[]> {
    return await vi.waitFor(
      () => {
        const found = this.messages.filter((message) => message.type === type)
        if (found.length < count) throw new Error(`not among ${JSON.stringify(this.messages)}`)
        expect(this.faults).toEqual([])
        return found
      },
      { timeout: 15_000, interval: 5 },
    )
  }
}

async function talking(routes: RouteOf[] = [{}], more: object = {}): Promise<{ talker: Talker; id: string }> {
  const id = await world.channel('websocket', routes, more)
  return { talker: new Talker(world, id), id }
}

describe('a message', () => {
  it('starts the flow of the only route, and is answered with the play and with its result', async () => {
    const { talker } = await talking()
    await talker.say({ id: 'first', args: { city: 'Bern' } })
    const [play] = await talker.heard('play')
    expect(play).toEqual({
      type: 'play',
      id: 'first',
      flowId: world.echo,
      playId: expect.stringMatching(/^run_/),
      status: 'queued',
    })
    const [result] = await talker.heard('result')
    expect(result).toEqual({
      type: 'result',
      id: 'first',
      flowId: world.echo,
      playId: play?.playId,
      status: 'completed',
      result: { city: 'Bern' },
    })
    expect((await world.user.execution(play?.playId)).input).toEqual({ city: 'Bern' })
  })

  it('without `args` is the arguments itself', async () => {
    const { talker } = await talking()
    await talker.say({ id: 7, city: 'Bern' })
    expect((await talker.heard('result'))[0]).toMatchObject({ id: 7, result: { city: 'Bern' } })
  })

  it('names one of several routes, each of which answers in its way', async () => {
    const { talker } = await talking([
      { name: 'both', targetFlowIds: [world.echo, failing] },
      { name: 'later', targetFlowIds: [waiting], responseMode: 'async' },
      { name: 'impatient', targetFlowIds: [waiting], timeoutSeconds: 1 },
    ])
    await talker.say({ route: 'later', args: {} })
    const [later] = await talker.heard('play')
    await talker.say({ id: 2, route: 'both', args: {} })
    await talker.heard('result')
    const [failed] = await talker.heard('failed')
    expect(failed).toMatchObject({ id: 2, flowId: failing, status: 'failed' })
    expect(failed?.error).toContain('the cellar is flooded')
    await talker.say({ id: 3, route: 'impatient', args: {} })
    const [, late] = await talker.heard('result', 2)
    expect(late).toMatchObject({ id: 3, status: 'running' })
    expect(talker.messages.filter(({ playId }) => playId === later?.playId)).toHaveLength(1)
  })

  it.each([
    ['no JSON', '{oops', undefined, 400],
    ['no object', '[1]', undefined, 400],
    ['args that are none', { id: 1, args: 'x' }, 1, 400],
    ['a route that is none', { id: 1, route: 'nope' }, 1, 400],
    ['no route where there are several', { id: 1 }, 1, 400],
    ['U+0000', { args: { a: '\0' } }, undefined, 422],
    ['a prototype', '{"id":2,"args":{"__proto__":{}}}', undefined, 422],
    ['a key that is none', { id: 1, route: 'route 0', idempotencyKey: 'a b' }, 1, 400],
    ['a flow that is gone', { id: 1, route: 'gone' }, 1, 410],
  ])('with %s is rejected, and the next is served', async (_, message, messageId, status) => {
    const gone = await world.user.flow(scripted('return 1'))
    const { talker } = await talking([{}, { name: 'gone', targetFlowIds: [gone] }])
    await world.user.delete(`/api/v1/flows/${gone}`).expect(200)
    await talker.say(message)
    const [rejected] = await talker.heard('rejected')
    expect(rejected?.id).toBe(messageId)
    expect(rejected?.problem).toMatchObject({ status, statusCode: status })
    await talker.say({ route: 'route 0', args: {} })
    await talker.heard('result')
  })

  it('with the key of an earlier one gets the play of that', async () => {
    const { talker } = await talking()
    for (let round = 0; round < 2; round++) await talker.say({ idempotencyKey: 'once', args: { a: 1 } })
    const [first, second] = await talker.heard('result', 2)
    expect(second?.playId).toBe(first?.playId)
    await talker.say({ idempotencyKey: 'once', args: { a: 2 } })
    expect((await talker.heard('rejected'))[0]?.problem).toMatchObject({ type: '/problems/idempotency-key-reused' })
  })

  it('that is too large ends the connection', async () => {
    const { talker } = await talking()
    await talker.say({ args: { text: 'x'.repeat(1_100_000) } })
    expect((await talker.closed)[0]).toBe(1009)
  })

  it('is one of many that are served at the same time, each answered under its id', async () => {
    const { talker } = await talking()
    for (let id = 0; id < 100; id++) await talker.say({ id, args: { id } })
    const results = await talker.heard('result', 100)
    for (const { id, result } of results) expect(result).toEqual({ id })
    expect(new Set(results.map(({ id }) => id)).size).toBe(100)
  })

  it('waits while as many are worked on as may be, and is served once there is room', async () => {
    const { talker } = await talking([
      { name: 'wait', targetFlowIds: [waiting], timeoutSeconds: 2 },
      { name: 'echo', responseMode: 'async' },
    ])
    for (let id = 0; id < 16; id++) await talker.say({ id, route: 'wait', args: {} })
    await talker.heard('play', 16)
    await talker.say({ id: 'late', route: 'echo', args: {} })
    await talker.heard('result')
    await talker.heard('play', 17)
    expect(talker.messages.findIndex(({ id }) => id === 'late')).toBeGreaterThan(16)
  })
})

describe('a connection', () => {
  it.each([
    ['in a header', (id: string) => new Talker(world, id, { authorization: `Bearer ${TOKEN}` })],
    ['in the query', (id: string) => new Talker(world, `${id}?token=${TOKEN}`, {})],
  ])('brings the token %s', async (_, open) => {
    const talker = open(await world.channel('websocket'))
    await talker.say({ args: {} })
    await talker.heard('result')
  })

  it.each([
    ['without a token', (id: string) => new Talker(world, id, {})],
    ['with a wrong one', (id: string) => new Talker(world, `${id}?token=wrong`, {})],
  ])('%s is told why, and closed with 4401', async (_, open) => {
    const talker = open(await world.channel('websocket'))
    const [code] = await talker.closed
    expect(code).toBe(4401)
    expect(talker.messages).toMatchObject([{ type: 'error', problem: { error: 'UNAUTHORIZED', status: 401 } }])
  })

  it('to what is no enabled WebSocket channel is closed with 4404', async () => {
    const ids = [
      'channel_nope',
      await world.channel('http'),
      await world.channel('websocket', [{}], { enabled: false }),
    ]
    for (const id of ids) {
      const talker = new Talker(world, id)
      expect((await talker.closed)[0]).toBe(4404)
      expect(talker.messages).toMatchObject([{ problem: { error: 'CHANNEL_NOT_FOUND' } }])
    }
  })

  it('needs no token where the channel is public, which does not say why a play failed', async () => {
    const { talker } = await talking([{ targetFlowIds: [failing] }], { authMode: 'public', authToken: undefined })
    await talker.say({ args: {} })
    const [failed] = await talker.heard('failed')
    expect(JSON.stringify(failed)).not.toContain('cellar')
  })

  it('ends with its token, and with its channel', async () => {
    const { talker, id } = await talking()
    await talker.say({ args: {} })
    await talker.heard('result')
    const { body } = await world.user.put(`/api/channels/${id}`, { authToken: null }).expect(200)
    await talker.say({ args: {} })
    expect((await talker.closed)[0]).toBe(4401)
    expect(talker.messages.filter(({ type }) => type === 'play')).toHaveLength(1)
    const other = new Talker(world, id, { 'x-channel-token': body.authToken })
    await other.say({ args: {} })
    await other.heard('result')
    await world.user.delete(`/api/channels/${id}`).expect(204)
    await other.say({ args: {} })
    expect((await other.closed)[0]).toBe(4404)
  })

  it('that goes leaves its plays as they are', async () => {
    const { talker } = await talking([{ targetFlowIds: [waiting] }])
    await talker.say({ args: {} })
    const [play] = await talker.heard('play')
    talker.socket.close()
    await talker.closed
    expect((await world.user.execution(play?.playId)).status).toBe('running')
  })

  it('is told when its messages come too fast', async () => {
    const limited = await ChannelsInUse.start({ RATE_LIMIT: '3' })
    // No request falls on the turn of a minute, when counts begin anew.
    const clock = vi.spyOn(systemClock, 'now').mockReturnValue(new Date())
    try {
      const id = await limited.channel('websocket')
      const talker = new Talker(limited, id)
      for (let count = 0; count < 4; count++) await talker.say({ id: count, args: {} })
      await talker.heard('result', 3)
      const [rejected] = await talker.heard('rejected')
      expect(rejected?.problem).toMatchObject({ status: 429, error: 'RATE_LIMITED' })
      talker.socket.terminate()
    } finally {
      clock.mockRestore()
      await limited.api.close()
    }
  })
})
