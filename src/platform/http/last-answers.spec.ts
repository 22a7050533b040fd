import { once } from 'node:events'
import { Agent, createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { lastAnswers } from './last-answers.js'

it('lets a server end although a client that never pauses keeps its connection', async () => {
  const server = createServer((request, response) => {
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
  const asking = client()
  await expect.poll(() => told.length).toBeGreaterThan(3)
  await once(server.close(), 'close')
  await asking
  agent.destroy()
  expect(told.slice(0, 3)).toEqual(['keep-alive', 'keep-alive', 'keep-alive'])
  expect(told.at(-1)).toBe('close')
})
