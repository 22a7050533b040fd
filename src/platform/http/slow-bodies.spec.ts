import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { slowBodies } from './slow-bodies.js'

const IDLE_MS = 500

const server = createServer((heard, response) => {
  slow(heard, response, () => {
    // One that is broken off has no end.
    heard.on('error', () => {})
    heard.resume()
    // An answer may take longer than a pause in a body.
    heard.once('end', () => setTimeout(() => response.end('taken'), 2 * IDLE_MS))
  })
})
const slow = slowBodies(server, IDLE_MS)

beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})

afterAll(() => server.close())

it('takes a body that comes slowly, and an answer that does', async () => {
  const sent = post()
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>
  for (let piece = 0; piece < 6; piece++) {
    sent.write('x')
    await delay(IDLE_MS / 4)
  }
  sent.end()
  const [response] = await answered
  expect(response.statusCode).toBe(200)
  response.resume()
})

it('ends the connection of a body that does not come', async () => {
  const sent = post()
  sent.write('x')
  await expect(once(sent, 'response')).rejects.toThrow('hang up')
})

it('leaves no other limit on a request’s time', () => {
  expect(server.requestTimeout).toBe(0)
})

function post() {
  const { port } = server.address() as AddressInfo
  return request({ port, method: 'POST', headers: { 'transfer-encoding': 'chunked' } })
}
