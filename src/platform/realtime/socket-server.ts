import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { type BeforeApplicationShutdown, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common'
import { HttpAdapterHost } from '@nestjs/core'
import { type WebSocket, WebSocketServer } from 'ws'
import { CLOSE, LiveSocket } from './live-socket.js'

/** A WebSocket's opening request, read. */
export interface Opening {
  /** The path without its query. */
  path: string
  params: Readonly<Record<string, string>>
  query: URLSearchParams
  headers: IncomingMessage['headers']
  /** The name and port that the client asked, as a trusted proxy tells it. */
  host: string | undefined
  address: string
}

export type SocketHandler = (socket: LiveSocket, opening: Opening) => Promise<void>

interface SocketRoute {
  pattern: RegExp
  names: string[]
  handle: SocketHandler
  listens: boolean
  server: WebSocketServer
}

/** Node takes this as an option of `createServer`, and keeps it in the property of that name; Nest makes the server without it. */
type UpgradableServer = Server & { shouldUpgradeCallback?: (request: IncomingMessage) => boolean }

/** What clients may send where nobody listens to them. */
const MAX_INCOMING = 4_096
/** How long clients may take to say goodbye when the server stops. */
const FAREWELL_MS = 1_000

/** The WebSocket paths of this process, beside Nest's HTTP routes on the same port. */
@Injectable()
export class SocketServer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(SocketServer.name)
  private readonly routes: SocketRoute[] = []
  private readonly telling = serverFor(MAX_INCOMING)
  private readonly servers = [this.telling]

  constructor(private readonly adapter: HttpAdapterHost) {}

  /**
   * `path` has Nest's `:id` for parameters, such as `/ws/executions/:id`. `listenBytes` is for paths whose handlers read what clients say:
   * the largest message, beyond which the connection is closed with 1009.
   */
  route(path: string, handle: SocketHandler, listenBytes?: number): void {
    const names = [...path.matchAll(/:(\w+)/g)].map((match) => match[1] as string)
    const listens = listenBytes !== undefined
    const server = listens ? serverFor(listenBytes) : this.telling
    if (listens) this.servers.push(server)
    this.routes.push({ pattern: new RegExp(`^${path.replace(/:\w+/g, '([^/]+)')}$`), names, handle, listens, server })
  }

  onApplicationBootstrap(): void {
    const server: UpgradableServer | undefined = this.adapter.httpAdapter?.getHttpServer()
    if (!server) return
    // Java's HttpClient offers `Upgrade: h2c` with every request: what is not for WebSockets is answered as if it had not asked.
    server.shouldUpgradeCallback = ({ headers }) => headers.upgrade?.toLowerCase() === 'websocket'
    server.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head))
  }

  /** Before the port closes, which waits for every connection. A client that does not answer the close is cut off. */
  async beforeApplicationShutdown(): Promise<void> {
    const closed = Promise.all(
      this.servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    )
    for (const client of this.clients()) client.close(CLOSE.goingAway, 'the server is stopping')
    const cutOff = setTimeout(() => {
      for (const client of this.clients()) client.terminate()
    }, FAREWELL_MS)
    await closed
    clearTimeout(cutOff)
  }

  private clients(): WebSocket[] {
    return this.servers.flatMap(({ clients }) => [...clients])
  }

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const opening = this.read(request)
    if (!opening) {
      refuse(socket, 404)
      return
    }
    const { server, listens, handle } = opening.route
    server.handleUpgrade(request, socket, head, (connection) => {
      const live = new LiveSocket(connection, listens)
      handle(live, opening.opening).catch((error: unknown) => {
        this.logger.error({ err: error, path: opening.opening.path }, 'a WebSocket ended with an error of ours')
        live.close(1011, 'internal error')
      })
    })
  }

  /** As Express tells it for requests, by the proxies that it was told to trust. */
  private host({ headers, socket }: IncomingMessage): string | undefined {
    const trusts: unknown = this.adapter.httpAdapter.getInstance().get('trust proxy fn')
    const forwarded = String(headers['x-forwarded-host'] ?? '')
      .split(',')[0]
      ?.trim()
    return forwarded && typeof trusts === 'function' && trusts(socket.remoteAddress, 0) ? forwarded : headers.host
  }

  private read(request: IncomingMessage): { opening: Opening; route: SocketRoute } | undefined {
    try {
      const url = new URL(request.url ?? '/', 'http://localhost')
      for (const route of this.routes) {
        const match = route.pattern.exec(url.pathname)
        if (!match) continue
        const params = Object.fromEntries(
          route.names.map((name, index) => [name, decodeURIComponent(match[index + 1] ?? '')]),
        )
        const { headers } = request
        const address = request.socket.remoteAddress ?? ''
        const opening = {
          path: url.pathname,
          params,
          query: url.searchParams,
          headers,
          host: this.host(request),
          address,
        }
        return { route, opening }
      }
    } catch {
      // A path that cannot be decoded names nothing.
    }
    return undefined
  }
}

function serverFor(maxPayload: number): WebSocketServer {
  return new WebSocketServer({ noServer: true, maxPayload, perMessageDeflate: false })
}

function refuse(socket: Duplex, status: number): void {
  socket.on('error', () => {})
  socket.once('finish', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
