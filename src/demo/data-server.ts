import { EventEmitter, once } from 'node:events'
import { createReadStream, readdirSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { json } from 'node:stream/consumers'

const TYPES: Record<string, string> = {
  '.csv': 'text/csv',
  '.json': 'application/json',
  '.tsv': 'text/tab-separated-values',
}

/**
 * The outside world of the demo, on loopback and a free port: `GET /<file>` answers a data set of the package vega-datasets,
 * `POST /reports` takes a report and tells whoever listens for `report`.
 */
export class DataServer extends EventEmitter<{ report: [report: unknown] }> {
  private readonly folder = join(createRequire(import.meta.url).resolve('vega-datasets'), '../../data')
  private readonly files = new Set(readdirSync(this.folder))

  private constructor(private readonly server: Server) {
    super()
    server.on('request', (request, response) => void this.answer(request, response))
  }

  static async start(): Promise<DataServer> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new DataServer(server)
  }

  /** `host:port` */
  get authority(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.close()
    this.server.closeAllConnections()
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const file = (request.url ?? '/').slice(1)
    if (request.method === 'GET' && this.files.has(file)) {
      response.setHeader('Content-Type', TYPES[extname(file)] ?? 'application/octet-stream')
      createReadStream(join(this.folder, file)).pipe(response)
    } else if (request.method === 'POST' && file === 'reports') {
      await this.take(request, response)
    } else {
      response.writeHead(404).end()
    }
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const report = await json(request)
      response.writeHead(201, { 'Content-Type': 'application/json' }).end('{"accepted":true}')
      this.emit('report', report)
    } catch {
      response.writeHead(400).end()
    }
  }
}
