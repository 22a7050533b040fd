import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { HttpAdapterHost } from '@nestjs/core'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import type { LiveSocket } from './live-socket.js'
import { type Opening, SocketServer } from './socket-server.js'

let http: Server
let sockets: SocketServer
let base: string
/** Whether the clients are proxies that are trusted. */
let trusted = false
const arrivals: ((socket: LiveSocket) => void)[] = []
const clients: { terminate?(): void; destroy?(): void }[] = []

beforeEach(async () => {
  http = createServer()
  const trusts = (address: string) => address === '127.0.0.1' && trusted
  const httpAdapter = { getHttpServer: () => http, getInstance: () => ({ get: () => trusts }) }
  sockets = new SocketServer({ httpAdapter } as unknown as HttpAdapterHost)
  sockets.onApplicationBootstrap()
  sockets.route('/ws/connected', async (socket) => arrivals.shift()?.(socket))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  base = `ws://127.0.0.1:${(http.address() as AddressInfo).port}`
})

afterEach(async () => {
  vi.useRealTimers()
  for (const client of clients.splice(0)) client.terminate?.() ?? client.destroy?.()
  await sockets.beforeApplicationShutdown()
  await new Promise((resolve) => http.close(resolve))
})

describe('a WebSocket path', () => {
  it('gets its parameters, its query and the headers', async () => {
    const openings: Opening[] = []
    sockets.route('/ws/things/:id/parts/:part', async (socket, opening) => {
      openings.push(opening)
      socket.close(1000, 'bye')
    })
    const client = open('/ws/things/a%2Fb/parts/7?token=t', { 'x-mine': '1' })
    expect(await once(client, 'close')).toEqual([1000, Buffer.from('bye')])
    expect(openings[0]).toMatchObject({ params: { id: 'a/b', part: '7' }, headers: { 'x-mine': '1' } })
    expect(openings[0]?.query.get('token')).toBe('t')
  })

  it('knows which host was asked, by a trusted proxy too', async () => {
    const hosts: unknown[] = []
    sockets.route('/ws/hosts', async (socket, { host }) => {
      hosts.push(host)
      socket.close(1000, '')
    })
    const headers = { host: 'inside:8080', 'x-forwarded-host': 'example.com, inside' }
    for (trusted of [true, false]) await once(open('/ws/hosts', headers), 'close')
    expect(hosts).toEqual(['example.com', 'inside:8080'])
  })

  it.each(['/ws/nothing', '/ws/things', '/ws/things/1/more', '/ws/things/%E0%A4%A', '//', '/ws/things/'])(
    'that is not served, such as %s, is 404',
    async (path) => {
      sockets.route('/ws/things/:id', async (socket) => socket.close(1000, ''))
      const [, response] = await once(open(path), 'unexpected-response')
      expect(response.statusCode).toBe(404)
    },
  )

  it('leaves requests alone that offer to upgrade to something else, as Java’s HTTP client does', async () => {
    http.on('request', (_, response) => response.end('an ordinary answer'))
    const raw = await rawSocket()
    const offer = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n'
    raw.write(`GET /api/v1/flows HTTP/1.1\r\nHost: a\r\n${offer}\r\n`)
    expect(String((await once(raw, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /)
  })

  it('that a client resets while it is refused harms nothing', async () => {
    sockets.route('/ws/things/:id', async (socket) => socket.close(1000, ''))
    for (let round = 0; round < 20; round++) {
      const raw = await rawSocket()
      raw.write('GET /ws/nothing HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
      raw.resetAndDestroy()
    }
    expect((await once(open('/ws/things/1'), 'close'))[0]).toBe(1000)
  })

  it('whose handler throws closes with 1011 and says nothing of the reason', async () => {
    sockets.route('/ws/broken', async () => {
      throw new Error('a secret detail')
    })
    const [code, reason] = await once(open('/ws/broken'), 'close')
    expect([code, String(reason)]).toEqual([1011, 'internal error'])
  })

  it('cuts off who sends more than a little', async () => {
    sockets.route('/ws/listen', async () => {})
    const client = open('/ws/listen')
    await once(client, 'open')
    client.send('x'.repeat(100_000))
    expect((await once(client, 'close'))[0]).toBe(1009)
  })
})

describe('a path that listens', () => {
  it('gets what clients say in order, also what they said before it asked', async () => {
    const heard: string[] = []
    sockets.route(
      '/ws/talk',
      async (socket) => {
        await new Promise((resolve) => setImmediate(resolve))
        for await (const message of socket.messages()) {
          heard.push(message)
          if (message === 'bye') socket.close(1000, 'bye')
        }
        heard.push('gone')
      },
      100,
    )
    const client = open('/ws/talk')
    await once(client, 'open')
    for (let number = 0; number < 50; number++) client.send(String(number))
    client.send('bye')
    expect((await once(client, 'close'))[0]).toBe(1000)
    await vi.waitFor(() => expect(heard).toEqual([...Array(50).keys()].map(String).concat('bye', 'gone')))
  })

  it('slows down who says more than it takes, and lets nobody go for that', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    let take = () => {}
    const taken = new Promise<void>((resolve) => {
      take = resolve
    })
    let live: LiveSocket | undefined
    let heard = 0
    sockets.route(
      '/ws/talk',
      async (socket) => {
        live = socket
        await taken
        for await (const _ of socket.messages()) heard++
      },
      1_000_000,
    )
    const client = open('/ws/talk')
    await once(client, 'open')
    for (let number = 0; number < 100; number++) client.send('x'.repeat(500_000))
    await settled(() => client.bufferedAmount)
    expect(client.bufferedAmount).toBeGreaterThan(0)
    for (let round = 0; round < 3; round++) vi.advanceTimersByTime(30_000)
    expect(live?.gone.aborted).toBe(false)
    take()
    await vi.waitFor(() => expect(heard).toBe(100), { timeout: 10_000 })
  })

  it('has a limit of its own, and cuts off who says more at once', async () => {
    sockets.route(
      '/ws/talk',
      async (socket) => {
        for await (const message of socket.messages()) expect(message).toBe('nothing')
      },
      10,
    )
    const client = open('/ws/talk')
    await once(client, 'open')
    client.send('x'.repeat(11))
    expect((await once(client, 'close'))[0]).toBe(1009)
  })
})

describe('a connection', () => {
  it('tells what is sent in order, and its end aborts the work for it', async () => {
    const { live, client } = await connected()
    const heard: unknown[] = []
    client.on('message', (data) => heard.push(JSON.parse(String(data))))
    for (let number = 0; number < 100; number++) await live.send({ number })
    await vi.waitFor(() => expect(heard).toHaveLength(100))
    expect(heard).toEqual(Array.from({ length: 100 }, (_, number) => ({ number })))
    expect(live.gone.aborted).toBe(false)
    client.close()
    await vi.waitFor(() => expect(live.gone.aborted).toBe(true))
    await live.send({ after: 'the end' })
  })

  it('refuses in the words of a problem document', async () => {
    const { live, client } = await connected()
    const message = once(client, 'message')
    live.refuse(4404, { title: 'Not found', detail: 'x'.repeat(500) })
    expect(JSON.parse(String((await message)[0]))).toMatchObject({ type: 'error', problem: { title: 'Not found' } })
    const [code, reason] = await once(client, 'close')
    expect([code, String(reason)]).toEqual([4404, 'x'.repeat(120)])
  })

  it('waits for a reader that is behind, who then gets everything', async () => {
    const { live, client } = await connected()
    const total = 40
    let heard = 0
    client.on('message', () => heard++)
    client.pause()
    let sent = 0
    const sending = (async () => {
      for (; sent < total; sent++) await live.send({ text: 'x'.repeat(1_000_000) })
    })()
    // The network takes some; the rest waits for the reader instead of filling memory.
    await settled(() => sent)
    expect(sent).toBeLessThan(total)
    expect(live.gone.aborted).toBe(false)
    client.resume()
    await sending
    await vi.waitFor(() => expect(heard).toBe(total))
  })

  it('drops a reader that takes nothing in, and holds up no other', async () => {
    const slow = await connected()
    const quick = await connected()
    slow.client.pause()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const flooding = (async () => {
      while (!slow.live.gone.aborted) await slow.live.send({ text: 'x'.repeat(1_000_000) })
    })()
    await settled(() => vi.getTimerCount())
    expect(vi.getTimerCount()).toBe(1)
    const heard = once(quick.client, 'message')
    await quick.live.send({ hello: 'quick' })
    expect(String((await heard)[0])).toBe('{"hello":"quick"}')
    vi.advanceTimersByTime(10_000)
    await flooding
    expect(slow.live.gone.aborted).toBe(true)
    expect(quick.live.gone.aborted).toBe(false)
  })

  it('that answers pings lives, one that does not is cut off', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const answering = await connected()
    const silent = await connected({}, { autoPong: false })
    for (let round = 0; round < 3; round++) {
      const pinged = once(answering.client, 'ping')
      const ponged = new Promise<void>((resolve) => answering.server.once('pong', () => resolve()))
      vi.advanceTimersByTime(15_000)
      await pinged
      await ponged
    }
    expect(answering.live.gone.aborted).toBe(false)
    await vi.waitFor(() => expect(silent.live.gone.aborted).toBe(true))
    expect((await silent.closed)[0]).toBe(1006)
  })
})

describe('a server that stops', () => {
  it('closes every connection with 1001 and takes no more', async () => {
    const { client } = await connected()
    const closed = once(client, 'close')
    await sockets.beforeApplicationShutdown()
    expect((await closed)[0]).toBe(1001)
    const [, response] = await once(open('/ws/connected'), 'unexpected-response')
    expect(response.statusCode).toBe(503)
  })

  it('does not wait for a client that never answers', async () => {
    const raw = await rawSocket()
    raw.write(
      'GET /ws/connected HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
    await once(raw, 'data')
    const closed = once(raw, 'close')
    await sockets.beforeApplicationShutdown()
    await closed
  })
})

/** A client, and the server's end of its connection. */
async function connected(headers: Record<string, string> = {}, options: { autoPong?: boolean } = {}) {
  const arrived = new Promise<LiveSocket>((resolve) => {
    arrivals.push(resolve)
  })
  const client = open('/ws/connected', headers, options)
  const closed = once(client, 'close')
  const [live] = await Promise.all([arrived, once(client, 'open')])
  return { live, client, closed, server: (live as unknown as { socket: WebSocket }).socket }
}

function open(path: string, headers: Record<string, string> = {}, options: { autoPong?: boolean } = {}): WebSocket {
  const client = new WebSocket(base + path, { headers, ...options })
  client.on('error', () => {})
  clients.push(client)
  return client
}

async function rawSocket(): Promise<Socket> {
  const raw = connect((http.address() as AddressInfo).port, '127.0.0.1')
  raw.on('error', () => {})
  clients.push(raw)
  await once(raw, 'connect')
  return raw
}

/** Resolves when the number has stopped to change: nothing more happens by itself. */
async function settled(number: () => number): Promise<void> {
  for (let same = 0, last = Number.NaN; same < 200; same = number() === last ? same + 1 : 0, last = number())
    await new Promise((resolve) => setImmediate(resolve))
}
