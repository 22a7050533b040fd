import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isMachineToken } from '../auth/machine-token.js'
import type { Metrics } from './metrics.js'

export interface MetricsListenerOptions {
  metrics: Metrics
  /** Whether this process can do its work. */
  healthy(): Promise<boolean>
  /** Asked of who reads /metrics. Undefined: anybody may, so bind it to where only the operator is. */
  token?: string
}

/**
 * `/metrics` and `/health` of a process that serves nothing else. No framework: a worker has none of what requests pass in an api
 * process. An error is its status and one word.
 */
export class MetricsListener {
  private readonly server: Server

  constructor(private readonly options: MetricsListenerOptions) {
    this.server = createServer({ requestTimeout: 10_000, maxHeaderSize: 16_384 }, (request, response) => {
      this.answer(request, response).catch(() => end(response, 500, 'error'))
    })
    this.server.maxConnections = 100
  }

  /** Resolves with the address once it listens; 0 takes a free port. */
  async listen(port: number, host: string): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen(port, host, resolve)
    })
    return this.server.address() as AddressInfo
  }

  async close(): Promise<void> {
    if (!this.server.listening) return
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()))
    this.server.closeAllConnections()
    await closed
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('Cache-Control', 'no-store')
    const [path] = (request.url ?? '').split('?')
    if (path !== '/metrics' && path !== '/health') return end(response, 404, 'not found')
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD')
      return end(response, 405, 'method not allowed')
    }
    if (path === '/health') {
      const healthy = await this.options.healthy()
      return end(response, healthy ? 200 : 503, healthy ? 'healthy' : 'unhealthy')
    }
    const { metrics, token } = this.options
    if (token !== undefined && !isMachineToken(request.headers.authorization, token)) {
      response.setHeader('WWW-Authenticate', 'Bearer realm="millrace"')
      return end(response, 401, 'unauthorized')
    }
    const { contentType, text } = await metrics.exposition(request.headers.accept)
    end(response, 200, text, contentType)
  }
}

function end(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  if (response.headersSent) return void response.destroy()
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) })
  response.end(response.req.method === 'HEAD' ? undefined : text)
}
