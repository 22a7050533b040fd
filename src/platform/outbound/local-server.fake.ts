import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A real HTTP server on a loopback port of its own, for tests. */
export class LocalServer {
  /** The requests that came, in order. */
  readonly requests: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[] = []
  private readonly server: Server

  private constructor(listener: RequestListener) {
    this.server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const { method = '', url = '', headers } = request
        this.requests.push({ method, url, headers, body: Buffer.concat(chunks).toString() })
        listener(request, response)
      })
    })
  }

  static async start(listener: RequestListener, address = '127.0.0.1'): Promise<LocalServer> {
    const local = new LocalServer(listener)
    local.server.listen(0, address)
    await once(local.server, 'listening')
    return local
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  /** `http://127.0.0.1:port`. */
  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get authority(): string {
    return `127.0.0.1:${this.port}`
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    this.server.close()
    await once(this.server, 'close')
  }
}
