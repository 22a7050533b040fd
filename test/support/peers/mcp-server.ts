import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js'
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { z } from 'zod'

/** A server made with the protocol's own library. With the argument `stdio` this file is one over standard input and output. */
function mcpServer(onHang: () => void): McpServer {
  const server = new McpServer({ name: 'peer', version: '1.0.0' })
  const text = (value: unknown) => ({ content: [{ type: 'text' as const, text: String(value) }] })
  server.registerTool(
    'add',
    { description: 'Adds two numbers', inputSchema: { a: z.number(), b: z.number() } },
    ({ a, b }) => text(a + b),
  )
  server.registerTool('fail', {}, () => ({ ...text('no luck today'), isError: true }))
  server.registerTool('environment', {}, () => text(JSON.stringify({ ...process.env, cwd: process.cwd() })))
  server.registerTool('grandchild', {}, () => text(spawn('sleep', ['1000'], { stdio: 'ignore' }).pid))
  server.registerTool('hang', {}, () => {
    onHang()
    return new Promise(() => {})
  })
  server.registerTool('die', {}, () => {
    process.stderr.write(`out of memory, token ${process.env.TOKEN}\n`)
    process.exit(3)
  })
  server.registerResource('report', 'memo://report', { mimeType: 'text/plain' }, (uri) => ({
    contents: [{ uri: uri.href, text: 'all is well' }],
  }))
  server.registerResource('page', new ResourceTemplate('memo://pages/{n}', { list: undefined }), {}, (uri, { n }) => ({
    contents: [{ uri: uri.href, text: `page ${String(n)}` }],
  }))
  server.registerPrompt('greet', { argsSchema: { name: z.string() } }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Greet ${name}` } }],
  }))
  return server
}

/** The same server over streamable HTTP at `/mcp` and server-sent events at `/sse`, behind a bearer token. */
export async function startMcpHttp(token: string) {
  const sessions = new Map<string, StreamableHTTPServerTransport | SSEServerTransport>()
  let hanging = 0
  const open = () => mcpServer(() => hanging++)
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    if (request.headers.authorization !== `Bearer ${token}`) return response.writeHead(401).end()
    const url = new URL(request.url ?? '/', 'http://127.0.0.1')
    if (url.pathname === '/sse') {
      const transport = new SSEServerTransport('/messages', response)
      sessions.set(transport.sessionId, transport)
      response.on('close', () => sessions.delete(transport.sessionId))
      return await open().connect(transport)
    }
    const id = url.searchParams.get('sessionId') ?? request.headers['mcp-session-id']
    const known = sessions.get(String(id))
    if (known instanceof SSEServerTransport) return await known.handlePostMessage(request, response)
    if (known) return await known.handleRequest(request, response)
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (session) => void sessions.set(session, transport),
      onsessionclosed: (session) => void sessions.delete(session),
    })
    await open().connect(transport)
    await transport.handleRequest(request, response)
  }
  const server = createServer((request, response) => void handle(request, response).catch(() => response.destroy()))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sessions: () => sessions.size,
    hanging: () => hanging,
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

if (process.argv[2] === 'stdio')
  await mcpServer(() => process.stderr.write('hanging\n')).connect(new StdioServerTransport())
