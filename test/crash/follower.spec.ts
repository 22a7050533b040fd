import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { Client } from './client.js'
import { Follower } from './follower.js'
import { Random } from './random.js'

let server: Server
const client = new Client(() => [{ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }], new Random(1))

afterEach(async () => {
  await client.close()
  server.close()
})

it('comes back behind what was heard last when a connection ends, also by a fault that the server tells of', async () => {
  const cursors: unknown[] = []
  server = createServer((request, response) => {
    cursors.push(request.headers['last-event-id'])
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const told = (id: number, event: string) => `id: ${id}\nevent: ${event}\ndata: {"run_id":"run_1"}\n\n`
    const first = `: connected\n\nretry: 2000\n\n${told(7, 'run.created')}event: error\ndata: {"status":503}\n\n`
    response.end(cursors.length === 1 ? first : told(9, 'run.finished'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const follower = new Follower(client, new Random(1))
  await follower.last('run_1')
  expect(cursors).toEqual([undefined, '7'])
  expect(follower.heard).toMatchObject([
    { id: 7, event: 'run.created', run: 'run_1' },
    { id: 9, event: 'run.finished', run: 'run_1' },
  ])
  expect(follower.surprises).toEqual([])
})
