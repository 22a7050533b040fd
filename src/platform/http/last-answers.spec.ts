import { once } from 'node:events'
import { Agent, createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { lastAnswers } from './last-answers.js'

it('lets a server end although a client that never pauses keeps its connection', async () => {
  let asked = 0
  const server = createServer((request, response) => {
    // In the middle of a request: a connection that is idle at that moment is closed by the server itself.
    if (++asked === 5) server.close()
    lastAnswers(() => server)(request, response, () => setTimeout(() => response.end('{}'), 5))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const told: (string | undefined)[] = []
  const client = async () => {
    for (;;) {
      // Once the port is closed, a new connection is refused.
      const answer = await once(get({ port, agent }), 'response').catch(() => [])
      const response = answer[0] as IncomingMessage | undefined
      if (!response) return
      told.push(response.headers.connection)
      response.resume()
      await once(response, 'end')
    }
  }
  const closed = once(server, 'close')
  await client()
  await closed
  agent.destroy()
  expect(told).toEqual(['keep-alive', 'keep-alive', 'keep-alive', 'keep-alive', 'close'])
})
