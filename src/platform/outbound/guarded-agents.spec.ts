import { once } from 'node:events'
import { get as httpGet, type IncomingMessage, type RequestListener } from 'node:http'
import { get as httpsGet } from 'node:https'
import { text } from 'node:stream/consumers'
import { afterEach, expect, it, vi } from 'vitest'
import { silentServer } from '../../../test/support/peers/silent.js'
import { OutboundRefused, OutboundTimeout } from './errors.js'
import type { AgentTimeouts, GuardedAgents } from './guarded-agents.js'
import { GuardedOutbound, type GuardedOutboundOptions } from './guarded-outbound.js'
import { LocalServer } from './local-server.fake.js'

const open: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.stop()
})

async function serve(listener: RequestListener): Promise<LocalServer> {
  const server = await LocalServer.start(listener)
  open.push(server)
  return server
}

function agents(options: GuardedOutboundOptions = {}, timeouts: Partial<AgentTimeouts> = {}): GuardedAgents {
  const outbound = new GuardedOutbound(options)
  const made = outbound.agents(timeouts)
  open.push({
    stop: async () => {
      made.close()
      await outbound.close()
    },
  })
  return made
}

async function get(url: string, by: GuardedAgents): Promise<string> {
  const agent = by.of(new URL(url))
  const request = url.startsWith('https:') ? httpsGet(url, { agent }) : httpGet(url, { agent })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return await text(response)
}

it.each([
  'http://127.0.0.1',
  'http://2130706433',
  'http://[::1]',
  'http://localhost',
  'http://169.254.169.254',
  'https://127.0.0.1',
  'https://localhost',
  'https://[fd00:ec2::254]',
])('refuses %s', async (origin) => {
  const server = await serve((_, response) => response.end('inside'))
  await expect(get(`${origin}:${server.port}/`, agents())).rejects.toThrow(OutboundRefused)
  expect(server.requests).toHaveLength(0)
})

it.each(['127.0.0.1', '169.254.169.254', '10.0.0.1'])('refuses a name that leads to %s', async (address) => {
  const server = await serve((_, response) => response.end('inside'))
  const by = agents({ resolver: async () => [{ address, family: 4 }] })
  for (const scheme of ['http', 'https'])
    await expect(get(`${scheme}://storage.example:${server.port}/`, by)).rejects.toThrow(
      /^request to 'storage.example' refused: it leads to a/,
    )
  expect(server.requests).toHaveLength(0)
})

it('connects only to an address that was vetted, on a kept connection and a new one', async () => {
  const server = await serve((_, response) => response.end('allowed'))
  let answer = '127.0.0.1'
  const by = agents({ allow: server.authority, resolver: async () => [{ address: answer, family: 4 }] })
  const url = `http://storage.example:${server.port}/`
  expect(await get(url, by)).toBe('allowed')
  answer = '169.254.169.254'
  expect(await get(url, by)).toBe('allowed')
  by.close()
  await expect(get(url, by)).rejects.toThrow('cloud metadata address')
})

it('lets go of connections without cutting what is under way', async () => {
  let answer = () => {}
  const server = await serve((request, response) => {
    if (request.url === '/slow') answer = () => response.end('done')
    else response.end()
  })
  const by = agents({ allow: '127.0.0.1' })
  const slow = get(`${server.origin}/slow`, by)
  await get(server.origin, by)
  expect(Object.keys(by.http.freeSockets)).toHaveLength(1)
  by.close()
  await vi.waitFor(() => expect(Object.keys(by.http.freeSockets)).toHaveLength(0))
  await vi.waitFor(() => expect(server.requests.map(({ url }) => url)).toContain('/slow'))
  answer()
  expect(await slow).toBe('done')
  await vi.waitFor(() => expect(Object.keys(by.http.sockets)).toHaveLength(0))
  expect(by.http.freeSockets).toEqual({})
})

it('gives up on a server that does not answer', async () => {
  const silent = await silentServer()
  open.push(silent)
  const by = agents({ allow: '127.0.0.1' }, { connectMs: 5_000, idleMs: 50 })
  const error = await get(`http://127.0.0.1:${silent.port}/`, by).catch((thrown) => thrown)
  expect(error).toBeInstanceOf(OutboundTimeout)
  expect(error).toMatchObject({ code: 'ETIMEDOUT' })
  const hasty = agents({ allow: '127.0.0.1' }, { connectMs: 50, idleMs: 5_000 })
  await expect(get(`https://127.0.0.1:${silent.port}/`, hasty)).rejects.toThrow(OutboundTimeout)
})
