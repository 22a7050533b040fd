import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { type BeforeApplicationShutdown, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common'
import { HttpAdapterHost } from '@nestjs/core'
import { WebSocketServer } from 'ws'
import { CLOSE, LiveSocket } from './live-socket.js'

/** A WebSocket's opening request, read. */
export interface Opening {
  /** The path without its query. */
  path: string
  params: Readonly<Record<string, string>>
  query: URLSearchParams
  headers: IncomingMessage['headers']
  address: string
}

export type SocketHandler = (socket: LiveSocket, opening: Opening) => Promise<void>

/** Node takes this as an option of `createServer`, and keeps it in the property of that name; Nest makes the server without it. */
type UpgradableServer = Server & { shouldUpgradeCallback?: (request: IncomingMessage) => boolean }

/** What clients may send on a connection that only listens. */
const MAX_INCOMING = 4_096
/** How long clients may take to say goodbye when the server stops. */
const FAREWELL_MS = 1_000

/** The WebSocket paths of this process, beside Nest's HTTP routes on the same port. */
@Injectable()
export class SocketServer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(SocketServer.name)
  private readonly routes: { pattern: RegExp; names: string[]; handle: SocketHandler }[] = []
  private readonly sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_INCOMING, perMessageDeflate: false })

  constructor(private readonly adapter: HttpAdapterHost) {}

  /** `path` has Nest's `:id` for parameters, such as `/ws/executions/:id`. */
  route(path: string, handle: SocketHandler): void {
    const names = [...path.matchAll(/:(\w+)/g)].map((match) => match[1] as string)
    this.routes.push({ pattern: new RegExp(`^${path.replace(/:\w+/g, '([^/]+)')}$`), names, handle })
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
    const closed = new Promise<void>((resolve) => this.sockets.close(() => resolve()))
    for (const client of this.sockets.clients) client.close(CLOSE.goingAway, 'the server is stopping')
    const cutOff = setTimeout(() => {
      for (const client of this.sockets.clients) client.terminate()
    }, FAREWELL_MS)
    await closed
    clearTimeout(cutOff)
  }

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const opening = this.read(request)
    if (!opening) {
      refuse(socket, 404)
      return
    }
    this.sockets.handleUpgrade(request, socket, head, (connection) => {
      const live = new LiveSocket(connection)
      opening.handle(live, opening.opening).catch((error: unknown) => {
        this.logger.error({ err: error, path: opening.opening.path }, 'a WebSocket ended with an error of ours')
        live.close(1011, 'internal error')
      })
    })
  }

  private read(request: IncomingMessage): { opening: Opening; handle: SocketHandler } | undefined {
    try {
      const url = new URL(request.url ?? '/', 'http://localhost')
      for (const { pattern, names, handle } of this.routes) {
        const match = pattern.exec(url.pathname)
        if (!match) continue
        const params = Object.fromEntries(
          names.map((name, index) => [name, decodeURIComponent(match[index + 1] ?? '')]),
        )
        const address = request.socket.remoteAddress ?? ''
        return {
          handle,
          opening: { path: url.pathname, params, query: url.searchParams, headers: request.headers, address },
        }
      }
    } catch {
      // A path that cannot be decoded names nothing.
    }
    return undefined
  }
}

function refuse(socket: Duplex, status: number): void {
  socket.on('error', () => {})
  socket.once('finish', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
