import type { AddressInfo } from 'node:net'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { ChannelsInUse, scripted, TOKEN, WAITS } from './channels-in-use.fake.js'

let world: ChannelsInUse
let channel: string
let clients: Client[] = []

beforeAll(async () => {
  world = await ChannelsInUse.start()
  const adding = await world.user.flow(
    'metadata: {name: Adding, description: Adds two numbers a and b.}\nnodes:\n  add: {type: transform, params: {script: "return { sum: input.a + input.b }"}}\n',
  )
  const failing = await world.user.flow(scripted('throw new Error("the cellar is flooded")'))
  const waiting = await world.user.flow(WAITS)
  channel = await world.channel('mcp', [
    { toolName: 'add', targetFlowIds: [adding] },
    { name: 'tell me again!' },
    { toolName: 'both', targetFlowIds: [adding, world.echo] },
    { toolName: 'fail', targetFlowIds: [failing] },
    { toolName: 'wait', targetFlowIds: [waiting], timeoutSeconds: 1 },
    { toolName: 'later', targetFlowIds: [waiting], responseMode: 'async' },
  ])
})

afterEach(async () => {
  await Promise.all(clients.map((client) => client.close()))
  clients = []
})

afterAll(() => world.api.close())

function at(id: string): URL {
  const { port } = world.api.app.getHttpServer().address() as AddressInfo
  return new URL(`http://127.0.0.1:${port}/channels/${id}/mcp`)
}

/** The protocol's own client, over HTTP. */
async function connected(
  id = channel,
  headers: Record<string, string> = { 'x-channel-token': TOKEN },
): Promise<Client> {
  const client = new Client({ name: 'spec', version: '1' })
  clients.push(client)
  await client.connect(new StreamableHTTPClientTransport(at(id), { requestInit: { headers } }) as never)
  return client
}

const initialize = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'spec', version: '1' } },
}

const posted = (id: string, message: object, token = TOKEN) =>
  world.api
    .post(`/channels/${id}/mcp`)
    .set('Accept', 'application/json, text/event-stream')
    .set('X-Channel-Token', token)
    .send(message)

describe('a client of an MCP channel', () => {
  it('finds its routes as tools, told as their flows are', async () => {
    const client = await connected()
    expect(client.getServerVersion()).toMatchObject({ name: 'Spec' })
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toEqual(['add', 'tell_me_again_', 'both', 'fail', 'wait', 'later'])
    expect(tools[0]).toEqual({
      name: 'add',
      title: 'route 0',
      description: 'Adds two numbers a and b.',
      inputSchema: { type: 'object', additionalProperties: true },
    })
    await client.ping()
  })

  it('calls a flow, and gets its result as text and as data', async () => {
    const client = await connected()
    const answer = await client.callTool({ name: 'add', arguments: { a: 1, b: 2 } })
    expect(answer).toEqual({ content: [{ type: 'text', text: '{"sum":3}' }], structuredContent: { sum: 3 } })
    expect((await client.callTool({ name: 'tell_me_again_', arguments: { x: [1] } })).structuredContent).toEqual({
      x: [1],
    })
    expect((await client.callTool({ name: 'tell_me_again_' })).structuredContent).toEqual({})
    const both = await client.callTool({ name: 'both', arguments: { a: 1, b: 1 } })
    expect(both.structuredContent).toEqual({ results: [{ sum: 2 }, { a: 1, b: 1 }] })
  })

  it('is told why a call failed, as an error of the tool', async () => {
    const { isError, content } = await (await connected()).callTool({ name: 'fail' })
    expect(isError).toBe(true)
    expect(JSON.stringify(content)).toContain('the cellar is flooded')
  })

  it('is told of the play that takes longer, or that it was not to wait for', async () => {
    const client = await connected()
    const play = { playId: expect.stringMatching(/^run_/) }
    expect((await client.callTool({ name: 'wait' })).structuredContent).toEqual({ ...play, status: 'running' })
    expect((await client.callTool({ name: 'later' })).structuredContent).toEqual({ ...play, status: 'queued' })
  })

  it('cannot call what is no tool', async () => {
    await expect((await connected()).callTool({ name: 'rm' })).rejects.toThrow('Tool rm not found')
  })

  it('does not find tools whose flow is gone; calling one is an error', async () => {
    const flow = await world.user.flow(scripted('return 1'))
    const id = await world.channel('mcp', [{ toolName: 'gone', targetFlowIds: [flow] }])
    const client = await connected(id)
    await world.user.delete(`/api/v1/flows/${flow}`).expect(200)
    expect((await client.listTools()).tools).toEqual([])
    expect((await client.callTool({ name: 'gone' })).isError).toBe(true)
  })

  it('needs the token', async () => {
    await expect(connected(channel, {})).rejects.toThrow()
    await expect(connected(channel, { authorization: 'Bearer nonsense' })).rejects.toThrow()
    await (await connected(channel, { authorization: `Bearer ${TOKEN}` })).ping()
  })
})

describe("an API key of the channel's account", () => {
  async function key(of: FlowRunnerUser, scopes: string[]): Promise<{ id: string; authorization: string }> {
    const { body } = await of.post('/api/auth/api-keys', { name: 'Model', scopes }).expect(201)
    return { id: body.id, authorization: `Bearer ${body.token}` }
  }

  it('lets in where it is for MCP, until it is revoked', async () => {
    const { id, authorization } = await key(world.user, ['mcp'])
    const client = await connected(channel, { authorization })
    expect((await client.callTool({ name: 'add', arguments: { a: 2, b: 2 } })).structuredContent).toEqual({ sum: 4 })
    await world.user.delete(`/api/auth/api-keys/${id}`).expect(204)
    await expect(client.listTools()).rejects.toThrow()
  })

  it('does not let in where it is for something else, of another account, or not for MCP channels', async () => {
    const { authorization: standard } = await key(world.user, ['standard'])
    await expect(connected(channel, { authorization: standard })).rejects.toThrow()
    const stranger = await world.user.colleague('stranger@example.com')
    const { authorization: foreign } = await key(stranger, ['mcp'])
    await expect(connected(channel, { authorization: foreign })).rejects.toThrow()
    await expect(connected(channel, { authorization: world.user.authorization })).rejects.toThrow()
    const { authorization } = await key(world.user, ['mcp'])
    const http = await world.channel('http')
    await world.api.post(`/channels/${http}`).set('Authorization', authorization).expect(401)
  })
})

describe('the protocol', () => {
  it('is spoken in POSTs that are complete in themselves', async () => {
    const { headers, text } = await posted(channel, initialize).expect(200)
    expect(headers['mcp-session-id']).toBeUndefined()
    expect(text).toContain('"protocolVersion":"2025-06-18"')
    await posted(channel, { jsonrpc: '2.0', method: 'notifications/initialized' }).expect(202)
    await posted(channel, { jsonrpc: '2.0', id: 2, method: 'tools/list' }).expect(200)
  })

  it.each(['get', 'delete', 'put'] as const)('does not have %s', async (method) => {
    const { headers } = await world.api
      .ask(method, `/channels/${channel}/mcp`)
      .set('X-Channel-Token', TOKEN)
      .expect(405)
    expect(headers.allow).toBe('POST')
  })

  it('refuses what is none of it', async () => {
    await posted(channel, [initialize, initialize]).expect(400)
    await posted(channel, { hello: 'world' }).expect(400)
    await posted(channel, initialize)
      .set('MCP-Protocol-Version', '1999-01-01')
      .set('Accept', 'application/json')
      .expect(406)
    await posted(channel, initialize, 'wrong').expect(401)
    await world.api.post(`/channels/${channel}`).set('X-Channel-Token', TOKEN).send(initialize).expect(404)
    await world.api.post(`/channels/${channel}/mcp/more`).set('X-Channel-Token', TOKEN).send(initialize).expect(404)
    const http = await world.channel('http')
    await posted(http, initialize).expect(404)
  })

  it('refuses web pages of elsewhere where a public channel could be reached by them', async () => {
    const open = await world.channel('mcp', [{}], { authMode: 'public', authToken: undefined })
    for (const origin of ['http://evil.example', 'http://localhost.evil.example', 'null'])
      await posted(open, initialize).set('Origin', origin).expect(403)
    await posted(open, initialize).set('Origin', 'http://localhost:6274').expect(200)
    await posted(open, initialize).expect(200)
    await posted(channel, initialize).set('Origin', 'https://app.example').expect(200)
  })
})
