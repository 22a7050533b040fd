import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { vi } from 'vitest'

/** The outside world of a flow under test: it counts what reaches it, by idempotency key. */
export class Effects {
  /** How often each key has come. */
  readonly counts = new Map<string, number>()
  /** Keys that came with another path or body than at first, and requests without a key. */
  readonly faults: string[] = []
  /** Requests after so many are counted and not answered. */
  holdAfter = Number.POSITIVE_INFINITY
  private readonly firsts = new Map<string, string>()
  private readonly sockets = new Set<Socket>()
  private arrived = 0

  private constructor(private readonly server: Server) {}

  static async start({ answerAfterMs }: { answerAfterMs: () => number }): Promise<Effects> {
    const server = createServer()
    const effects = new Effects(server)
    server.on('connection', (socket) => {
      effects.sockets.add(socket)
      socket.on('error', () => {}).on('close', () => effects.sockets.delete(socket))
    })
    server.on('request', async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      effects.count(request.headers['idempotency-key'] as string | undefined, `${request.url} ${body}`)
      if (effects.total > effects.holdAfter) return
      setTimeout(() => response.setHeader('content-type', 'application/json').end('{"ok":true}'), answerAfterMs())
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return effects
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  /** Requests so far. */
  get total(): number {
    return this.arrived
  }

  /** How often each key has come, once nobody is connected any more: what a process that is gone had sent. */
  async atRest(): Promise<Map<string, number>> {
    await vi.waitUntil(() => this.sockets.size === 0, { timeout: 10_000, interval: 10 })
    return new Map(this.counts)
  }

  async stop(): Promise<void> {
    this.server.close()
    this.server.closeAllConnections()
  }

  private count(key: string | undefined, request: string): void {
    this.arrived++
    if (key === undefined) {
      this.faults.push(`without a key: ${request}`)
      return
    }
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1)
    const first = this.firsts.get(key)
    if (first === undefined) this.firsts.set(key, request)
    else if (first !== request) this.faults.push(`${key} came as ${first} and as ${request}`)
  }
}
