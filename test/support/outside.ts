import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** A request as it came in. */
export interface Received {
  method: string
  path: string
  headers: IncomingMessage['headers']
  body: string
}

type Answer = (request: Received, response: ServerResponse) => unknown

/**
 * The world that flows talk to: a real HTTP server on loopback. `/data` answers `{"key": "value"}`, `/echo` what was sent, `/status/503`
 * that status, `/never` nothing at all; everything that comes in is kept in `received`.
 */
export class Outside extends EventEmitter {
  readonly received: Received[] = []
  private readonly answers = new Map<string, Answer>([
    ['/data', (_, response) => json(response, 200, { key: 'value' })],
    ['/echo', (request, response) => json(response, 200, request)],
    ['/callback', (_, response) => response.end()],
    ['/never', () => {}],
  ])

  private constructor(private readonly server: Server) {
    super()
    this.setMaxListeners(0)
    server.on('request', (request, response) => void this.take(request, response))
  }

  static async start(): Promise<Outside> {
    const server = createServer()
    const outside = new Outside(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return outside
  }

  url(path: string): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}${path}`
  }

  /** What is asked of `path` from now on gets this answer. */
  answer(path: string, answer: Answer): void {
    this.answers.set(path, answer)
  }

  /** The requests to `path` so far. */
  at(path: string): Received[] {
    return this.received.filter((request) => request.path === path)
  }

  /** Resolves when a request has come to `path`, with a promise of its connection's end. */
  async arrival(path: string): Promise<{ gone: Promise<unknown> }> {
    for (;;) {
      const [arrived, response] = (await once(this, 'request')) as [Received, ServerResponse]
      if (arrived.path === path) return { gone: once(response, 'close') }
    }
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '/', headers } = request
    const path = url.replace(/\?.*$/, '')
    const received = { method, path: url, headers, body: await text(request) }
    this.received.push({ ...received, path })
    this.emit('request', { ...received, path }, response)
    const status = /^\/status\/(\d{3})$/.exec(path)?.[1]
    const answer = this.answers.get(path)
    if (status !== undefined) json(response, Number(status), { status: Number(status) })
    else if (answer) await answer(received, response)
    else json(response, 404, { error: 'nothing is here' })
  }
}

export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
