import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { testConfig } from '../../../../test/support/config.js'
import { createApp } from '../../../app/create-app.js'
import { systemClock } from '../../../platform/clock/clock.js'
import { createLog } from '../../../platform/log/log.js'
import { ChannelsInUse, type RouteOf, scripted, TOKEN, WAITS } from './channels-in-use.fake.js'

let world: ChannelsInUse
let failing: string
let counting: string
let waiting: string

beforeAll(async () => {
  world = await ChannelsInUse.start()
  failing = await world.user.flow(scripted('throw new Error("the cellar is flooded")'))
  counting = await world.user.flow({
    step: { type: 'store', params: { operation: 'increment', key: 'calls', amount: 1 } },
  })
  waiting = await world.user.flow(WAITS)
})

afterAll(() => world.api.close())

const post = (id: string, path = '/') => world.api.post(`/channels/${id}${path}`).set('X-Channel-Token', TOKEN)

/** Calls a channel of this one route with a JSON body. */
async function called(route: RouteOf, body: object = {}, more: object = {}) {
  return await post(await world.channel('http', [route], more)).send(body)
}

describe('a caller', () => {
  it('gets what the flow came to, which got all of the request', async () => {
    const id = await world.channel('http', [{ path: '/orders/{order}/lines/:line' }])
    const { body, headers } = await post(id, '/orders/a%2Fb/lines/7?tag=x&tag=y&z=')
      .set('X-Custom', 'kept')
      .send({ amount: 3 })
      .expect(200)
    expect(body).toEqual({
      body: { amount: 3 },
      method: 'POST',
      path: '/orders/a%2Fb/lines/7',
      params: { order: 'a/b', line: '7' },
      query: { tag: ['x', 'y'], z: '' },
      headers: expect.objectContaining({ 'x-custom': 'kept', 'content-type': 'application/json' }),
    })
    const run = await world.user.execution(headers['x-play-id'] ?? '')
    expect(run).toMatchObject({ flow_id: world.echo, status: 'completed' })
    const [row] = await world.api.app
      .get(DataSource)
      .query('select trigger, account_id from run where id = $1', [run.id])
    expect(row).toEqual({ trigger: 'channel', account_id: world.user.accountId })
    const audited = 'select actor_id, actor_email, action, ip from audit_entry where resource_id = $1'
    expect(await world.api.app.get(DataSource).query(audited, [run.id])).toEqual([
      { actor_id: id, actor_email: null, action: 'run.start', ip: expect.stringContaining('127.0.0.1') },
    ])
  })

  it('has to bring the token, in either header', async () => {
    const id = await world.channel('http')
    const ask = () => world.api.post(`/channels/${id}`)
    await ask().set('Authorization', `Bearer ${TOKEN}`).expect(200)
    await ask().set('x-channel-token', TOKEN).set('Authorization', 'Basic eDp5').expect(200)
    const { body, headers } = await ask().expect(401)
    expect(body).toMatchObject({ error: 'UNAUTHORIZED', statusCode: 401 })
    expect(headers['www-authenticate']).toContain('Bearer')
    await ask().set('X-Channel-Token', `${TOKEN}x`).expect(401)
    await ask().set('X-Channel-Token', '').set('Authorization', `Bearer ${TOKEN}`).expect(401)
    await ask().set('Authorization', TOKEN).expect(401)
    await ask().set('Authorization', world.user.authorization).expect(401)
    await ask().query({ token: TOKEN }).expect(401)
  })

  it('needs none where the channel is public', async () => {
    const id = await world.channel('http', [{}], { authMode: 'public', authToken: undefined })
    await world.api.post(`/channels/${id}`).send({}).expect(200)
    await world.api.post(`/channels/${id}`).set('Authorization', 'Bearer nonsense').send({}).expect(200)
  })

  it('cannot tell a disabled channel from one that never was', async () => {
    const id = await world.channel('http', [{}], { enabled: false })
    const answers = [
      await post(id).expect(404),
      await post('channel_nope').expect(404),
      await world.api.post(`/channels/${id}`).expect(404),
    ]
    for (const { body } of answers)
      expect(body).toMatchObject({ type: '/problems/channel-not-found', error: 'CHANNEL_NOT_FOUND' })
    await world.user.put(`/api/channels/${id}`, { enabled: true }).expect(200)
    await post(id).expect(200)
  })

  it('is let in by the new token at once, and not by the old', async () => {
    const id = await world.channel('http')
    const { body } = await world.user.put(`/api/channels/${id}`, { authToken: null }).expect(200)
    await post(id).expect(401)
    await world.api.post(`/channels/${id}`).set('X-Channel-Token', body.authToken).expect(200)
  })

  it("does not get into other channels by a channel's token", async () => {
    const ids = [await world.channel('http'), await world.channel('http', [{}], { authToken: `${TOKEN}-other` })]
    await post(ids[0] ?? '').expect(200)
    await post(ids[1] ?? '').expect(401)
    await post(`${ids[0]}/../${ids[1]}`, '').expect((response) => expect([401, 404]).toContain(response.status))
  })

  it('is told 404 where no route is, 405 where it has other methods, and 410 where the flow is gone', async () => {
    const gone = await world.user.flow(scripted('return 1'))
    const id = await world.channel('http', [
      { path: '/a/{b}' },
      { path: '/a/{b}', httpMethod: 'DELETE', name: 'delete' },
      { path: '/gone', targetFlowIds: [world.echo, gone] },
    ])
    for (const path of ['/', '', '/a', '/a/b/c', '/a/..', '/a/%2e%2e', '//a/b', '/A/b', '/mcp'])
      expect((await post(id, path)).status, path).toBe(404)
    await post(id, '/a/b/').expect(200)
    const { headers } = await world.api.put(`/channels/${id}/a/b`).set('X-Channel-Token', TOKEN).expect(405)
    expect(headers.allow).toBe('DELETE, POST')
    await world.user.delete(`/api/v1/flows/${gone}`).expect(200)
    const { body } = await post(id, '/gone').expect(410)
    expect(body).toMatchObject({ type: '/problems/channel-target-gone', error: 'GONE' })
    await post(id, '/a/%zz').expect(400)
    await post(id, '/a/%00').expect(400)
  })

  it('is told 409 while the flow is disabled', async () => {
    const flow = await world.user.flow(scripted('return 1'))
    const id = await world.channel('http', [{ targetFlowIds: [flow] }])
    await world.api.app.get(DataSource).query('update flow set enabled = false where id = $1', [flow])
    expect((await post(id).expect(409)).body.type).toBe('/problems/flow-disabled')
  })

  it.each([['GET'], ['PUT'], ['PATCH'], ['DELETE']])('can use %s', async (httpMethod) => {
    const id = await world.channel('http', [{ httpMethod }])
    const method = httpMethod.toLowerCase() as 'get'
    const { body } = await world.api.ask(method, `/channels/${id}`).set('X-Channel-Token', TOKEN).expect(200)
    expect(body).toMatchObject({ method: httpMethod, body: null, path: '' })
  })

  it('that asks HEAD of a GET route gets its status', async () => {
    const id = await world.channel('http', [{ httpMethod: 'GET' }])
    await world.api.ask('head', `/channels/${id}`).set('X-Channel-Token', TOKEN).expect(200)
  })
})

describe('flows', () => {
  it('do not see credentials, wherever the token stands', async () => {
    const id = await world.channel('http')
    const { body, text } = await post(id)
      .set('Authorization', 'Bearer of-somebody-else')
      .set('Cookie', 'sid=secret-session')
      .set('Proxy-Authorization', 'Basic c2VjcmV0')
      .set('X-Api-Key', 'secret-key')
      .set('X-Copy', `again ${TOKEN}`)
      .set('__proto__', 'x')
      .expect(200)
    expect(text).not.toMatch(/secret|somebody-else|a-token-that/)
    expect(Object.keys(body.headers)).not.toContain('x-copy')
  })

  it('get text, forms and bytes in JSON', async () => {
    const id = await world.channel('http')
    const bodyOf = async (type: string, body: string | Buffer) =>
      (await post(id).set('Content-Type', type).send(body).expect(200)).body.body
    expect(await bodyOf('text/plain', 'héllo')).toBe('héllo')
    expect(await bodyOf('text/plain; charset=iso-8859-1', Buffer.from('h\xe9llo', 'latin1'))).toBe('héllo')
    expect(await bodyOf('application/soap+xml', '<a/>')).toBe('<a/>')
    expect(await bodyOf('application/x-www-form-urlencoded', 'a=1&b=%C3%A9&a=2')).toEqual({ a: ['1', '2'], b: 'é' })
    expect(await bodyOf('application/cloudevents+json', '[1]')).toEqual([1])
    expect(await bodyOf('image/png', Buffer.from([0, 255]))).toEqual({ contentType: 'image/png', base64: 'AP8=' })
    const { body } = await post(id).field('note', 'n').attach('file', Buffer.from('abc'), 'a.txt').expect(200)
    expect(body.body).toEqual({ note: 'n', file: { fileName: 'a.txt', contentType: 'text/plain', base64: 'YWJj' } })
    const packed = await post(id)
      .set('Content-Type', 'text/plain')
      .set('Content-Encoding', 'gzip')
      .send(gzipSync('packed'))
      .expect(200)
    expect(packed.body.body).toBe('packed')
  })

  it.each([
    ['broken JSON', 'application/json', '{', 400],
    ['text in another encoding than it says', 'text/plain; charset=utf-8', Buffer.from([0xff, 0xfe, 0xff]), 400],
    ['an encoding that nobody knows', 'text/plain; charset=klingon', 'x', 415],
    ['a broken form', 'multipart/form-data; boundary=x', 'nonsense', 400],
    ['U+0000', 'text/plain', 'a\0b', 422],
    ['a prototype', 'application/json', '{"__proto__":{"a":1}}', 422],
    ['too much', 'text/plain', 'x'.repeat(1_100_000), 413],
    ['too much, packed', 'application/octet-stream', gzipSync(Buffer.alloc(50_000_000)), 413],
  ])('are not started by %s', async (what, type, body, status) => {
    const id = await world.channel('http')
    const request = post(id).set('Content-Type', type)
    if (what.endsWith('packed')) request.set('Content-Encoding', 'gzip')
    await request.send(body).expect(status)
  })
})

describe('an answer', () => {
  it('of an async route is the play, which has only begun', async () => {
    const { body, status, headers } = await called({ responseMode: 'async', targetFlowIds: [waiting] })
    expect([status, body]).toEqual([202, { playId: expect.stringMatching(/^run_/), status: 'queued' }])
    expect(headers['x-play-id']).toBe(body.playId)
    expect((await world.user.execution(body.playId)).status).toBe('running')
  })

  it('of several flows is the list of theirs, in their order', async () => {
    const other = await world.user.flow(scripted('return { other: true }'))
    const sync = await called({ targetFlowIds: [other, world.echo] }, { a: 1 })
    expect([sync.status, sync.body]).toEqual([200, [{ other: true }, expect.objectContaining({ body: { a: 1 } })]])
    const later = await called({ targetFlowIds: [other, world.echo], responseMode: 'async' })
    expect(later.body).toEqual([
      { playId: expect.any(String), status: 'queued' },
      { playId: expect.any(String), status: 'queued' },
    ])
    expect(later.headers['x-play-id']?.split(', ')).toHaveLength(2)
  })

  it('for a play that failed is 502, which says why to those who have the token only', async () => {
    const { status, body } = await called({ targetFlowIds: [failing] })
    expect([status, body]).toEqual([
      502,
      expect.objectContaining({
        type: '/problems/channel-run-failed',
        error: 'BAD_GATEWAY',
        statusCode: 502,
        playId: expect.stringMatching(/^run_/),
        detail: expect.stringContaining('the cellar is flooded'),
      }),
    ])
    const open = await called({ targetFlowIds: [failing] }, {}, { authMode: 'public', authToken: undefined })
    expect(open.status).toBe(502)
    expect(open.text).not.toContain('cellar')
    expect(open.body.playId).toMatch(/^run_/)
    const several = await called({ targetFlowIds: [world.echo, failing] })
    expect(several.body.plays).toMatchObject([
      { status: 'completed' },
      { status: 'failed', playId: several.body.playId },
    ])
  })

  it('for a play that was cancelled is 502', async () => {
    const flow = await world.user.flow(WAITS)
    const id = await world.channel('http', [{ targetFlowIds: [flow] }])
    const answer = post(id).then((response) => response)
    const playId = await begun(world, flow)
    await world.user.delete(`/api/v1/executions/${playId}`).expect(200)
    const { status, body } = await answer
    expect([status, body.playId, body.detail]).toEqual([502, playId, `Play ${playId} was cancelled`])
  })

  it('for a play that takes longer than its route waits is 202, and the play goes on', async () => {
    const { status, body } = await called({ targetFlowIds: [waiting], timeoutSeconds: 1 })
    expect([status, body]).toEqual([202, { playId: expect.any(String), status: 'running' }])
    expect((await world.user.execution(body.playId)).status).toBe('running')
  })

  it('to a repeated key is the first one, whatever the headers say meanwhile; with another body it is refused', async () => {
    const id = await world.channel('http', [{ targetFlowIds: [counting] }])
    const ask = (body: object, date: string) =>
      post(id).set('Idempotency-Key', 'delivery-1').set('X-Date', date).send(body)
    const first = await ask({ a: 1 }, 'monday').expect(200)
    const second = await ask({ a: 1 }, 'tuesday').expect(200)
    expect(second.body).toEqual(first.body)
    expect(second.headers['x-play-id']).toBe(first.headers['x-play-id'])
    await ask({ a: 2 }, 'monday').expect(422)
    const elsewhere = await world.channel('http', [{ targetFlowIds: [counting] }])
    const other = await post(elsewhere).set('Idempotency-Key', 'delivery-1').send({ a: 1 }).expect(200)
    expect(other.headers['x-play-id']).not.toBe(first.headers['x-play-id'])
    await post(id).set('Idempotency-Key', 'not visible').expect(400)
  })
})

describe('a channel', () => {
  it('that is no HTTP channel has no paths', async () => {
    await post(await world.channel('websocket', [{ httpMethod: 'POST', path: '/x' }]), '/x').expect(404)
    await post(await world.channel('mcp', [{ httpMethod: 'POST', path: '/x' }]), '/x').expect(404)
  })

  it.each([
    'POST /channels/%2e%2e/api/channels HTTP/1.1',
    'POST /channels/ID/%2e%2e/%2e%2e/api/channels HTTP/1.1',
    'POST /channels/../api/channels HTTP/1.1',
    'POST //channels/ID HTTP/1.1',
    'POST http://elsewhere/channels/ID HTTP/1.1',
    'POST /channels/ID\\..\\x HTTP/1.1',
  ])('is not reached, and reaches nothing, by %s', async (line) => {
    const id = await world.channel('http', [{ path: '/{a}' }])
    const status = await raw(`${line.replace('ID', id)}\r\nHost: x\r\nX-Channel-Token: ${TOKEN}\r\nContent-Length: 0`)
    expect([400, 404]).toContain(status)
  })

  it('counts a request that is smuggled behind another as none of its own', async () => {
    const id = await world.channel('http')
    const both = `POST /channels/${id} HTTP/1.1\r\nHost: x\r\nX-Channel-Token: ${TOKEN}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked`
    expect(await raw(both, '0\r\n\r\nGET / HTTP/1.1\r\n\r\n')).toBe(400)
    expect(
      await raw(
        `POST /channels/${id} HTTP/1.1\r\nHost: x\r\nX-Channel-Token: ${TOKEN}\r\nX-Channel-Token: x\r\nContent-Length: 0`,
      ),
    ).toBe(401)
  })
})

describe('requests', () => {
  it('count against their channel, whoever sends them; those that were not let in against their address', async () => {
    const limited = await ChannelsInUse.start({ RATE_LIMIT: '8' })
    // No request falls on the turn of a minute, when counts begin anew.
    const clock = vi.spyOn(systemClock, 'now').mockReturnValue(new Date())
    try {
      const [one, two] = [await limited.channel('http'), await limited.channel('http')]
      const ask = (id: string, token = TOKEN) => limited.api.post(`/channels/${id}`).set('X-Channel-Token', token)
      for (let left = 7; left >= 0; left--) {
        const { headers } = await ask(one).expect(200)
        expect(headers['x-ratelimit-remaining']).toBe(String(left))
      }
      const { headers } = await ask(one).expect(429)
      expect(headers['retry-after']).toBeTruthy()
      await ask(two).expect(200)
      const statuses: number[] = []
      for (let guess = 0; guess < 9; guess++) statuses.push((await ask(two, `guess-${guess}`)).status)
      expect(statuses[0]).toBe(401)
      expect(statuses.at(-1)).toBe(429)
      await ask(two).expect(200)
    } finally {
      clock.mockRestore()
      await limited.api.close()
    }
  })
})

describe('a play that another process has', () => {
  it('answers who waits for it here as soon as it has ended there', async () => {
    const here = await ChannelsInUse.start({ MAX_ACTIVE_RUNS: '0' })
    const config = testConfig({ DATABASE_URL: here.api.databaseUrl })
    const elsewhere = await createApp({ config, log: createLog(config) })
    try {
      await elsewhere.init()
      const id = await here.channel('http')
      for (let round = 0; round < 5; round++) {
        const { body } = await here.api
          .post(`/channels/${id}`)
          .set('X-Channel-Token', TOKEN)
          .send({ round })
          .expect(200)
        expect(body.body).toEqual({ round })
      }
    } finally {
      await elsewhere.close()
      await here.api.close()
    }
  })
})

describe('a server that stops', () => {
  it('answers who still waits with the play', async () => {
    const stopping = await ChannelsInUse.start({ SHUTDOWN_GRACE_MS: '0' })
    const flow = await stopping.user.flow(WAITS)
    const id = await stopping.channel('http', [{ targetFlowIds: [flow], timeoutSeconds: 300 }])
    const answer = stopping.api
      .post(`/channels/${id}`)
      .set('X-Channel-Token', TOKEN)
      .then((response) => response)
    await begun(stopping, flow)
    await stopping.api.close()
    expect(await answer).toMatchObject({ status: 202, body: { status: 'running' } })
  })
})

/** The play of a flow, as soon as there is one. */
async function begun({ user }: ChannelsInUse, flow: string): Promise<string> {
  return await vi.waitFor(async () => {
    const { body } = await user.get(`/api/v1/executions?flow_id=${flow}`).expect(200)
    if (body.total === 0) throw new Error('nothing has begun')
    return body.executions[0].id
  })
}

/** The status that a request gets which is sent as it stands. */
function raw(head: string, body = ''): Promise<number> {
  const { port } = world.api.app.getHttpServer().address() as AddressInfo
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${head}\r\n\r\n${body}`))
    socket.on('error', reject)
    socket.once('data', (data) => {
      socket.destroy()
      resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(String(data))?.[1]))
    })
  })
}
