import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { AppendLog } from './append-log.js'
import type { Random } from './random.js'

/** A request of a flow as it reached the outside world, and how it ended there. */
export type EffectEntry =
  | { kind: 'arrived'; id: number; at: number; key?: string; request: string; limit?: string }
  /** Answered with a status, or broken off by whoever had sent it. */
  | { kind: 'ended'; id: number; at: number; status?: number }

/** Requests to `/flaky` with one key that are refused before one is answered well. */
const REFUSALS = 2

/**
 * The outside world of the flows under test. It writes every request down, on the disk, before it answers. `/quick` answers within
 * 40 ms, `/slow` within 250, `/flaky` refuses each key twice, `/refused` refuses whatever comes after half a second, `/never` answers nothing,
 * `/limited/<name>` is slow and says for whose sake it came.
 */
export class EffectServer {
  private readonly arrivals = new Map<string, number>()
  /** The keys of the requests that are not answered yet. */
  readonly open = new Set<string>()
  private ids = 0

  private constructor(
    private readonly server: Server,
    private readonly log: AppendLog<EffectEntry>,
    private readonly random: Random,
  ) {}

  static async start(path: string, random: Random): Promise<EffectServer> {
    const server = createServer({ keepAliveTimeout: 60_000 })
    const effects = new EffectServer(server, await AppendLog.create(path), random)
    server.on('request', (request, response) => void effects.take(request, response))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return effects
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  /** Requests so far. */
  get total(): number {
    return this.ids
  }

  /** How often a key has come. */
  cameFor(key: string): number {
    return this.arrivals.get(key) ?? 0
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve))
    this.server.closeAllConnections()
    await closed
    await this.log.close()
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const id = ++this.ids
    const path = request.url ?? ''
    const key = request.headers['idempotency-key'] as string | undefined
    let status: number | undefined
    response.once('close', () => {
      this.open.delete(key ?? '')
      void this.log.append({ kind: 'ended', id, at: Date.now(), status })
    })
    const at = Date.now()
    const body = await text(request).catch(() => undefined)
    // A sender that dies in mid-sentence has asked for nothing.
    if (body === undefined) return
    const limit = /^\/limited\/(.+)$/.exec(path)?.[1]
    await this.log.append({ kind: 'arrived', id, at, key, request: `${path} ${body}`, limit })
    this.open.add(key ?? '')
    const arrival = this.cameFor(key ?? '') + 1
    this.arrivals.set(key ?? '', arrival)
    if (path === '/never') return
    const refused = path === '/refused' || (path === '/flaky' && arrival <= REFUSALS)
    setTimeout(() => {
      if (response.destroyed) return
      status = refused ? 503 : 200
      response.writeHead(status, { 'content-type': 'application/json' }).end('{"ok":true}')
    }, this.slowness(path))
  }

  private slowness(path: string): number {
    if (path === '/refused') return 500
    return path === '/quick' || path === '/flaky' ? this.random.between(1, 40) : this.random.between(50, 250)
  }
}
