import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { startMcpHttp } from '../../test/support/peers/mcp-server.js'
import { closedPort } from '../../test/support/peers/silent.js'
import type { JsonObject } from '../platform/json.js'
import { GuardedOutbound } from '../platform/outbound/guarded-outbound.js'
import { LocalServer } from '../platform/outbound/local-server.fake.js'
import { loopbackOutbound, outputOf } from './loopback.fake.js'
import { mcp } from './mcp.js'
import { failure } from './step-context.fake.js'

const TOKEN = 'bearer-token-of-the-test'
const peer = fileURLToPath(new URL('../../test/support/peers/mcp-server.ts', import.meta.url))
const step = mcp({ outbound: loopbackOutbound, mcpCommands: [process.execPath, 'no-such-program'] })
let server: Awaited<ReturnType<typeof startMcpHttp>>

beforeAll(async () => {
  server = await startMcpHttp(TOKEN)
})
afterAll(() => server?.stop())

const headers = { Authorization: `Bearer ${TOKEN}` }
const program = { command: process.execPath, args: [peer, 'stdio'] }
const connections: Record<string, () => JsonObject> = {
  cmd: () => ({ connectionType: 'cmd', ...program }),
  http: () => ({ connectionType: 'http', url: `${server.origin}/mcp`, headers }),
  sse: () => ({ connectionType: 'sse', url: `${server.origin}/sse`, headers }),
}
const run = async (params: JsonObject, options = {}) => (await outputOf(step, params, options)) as JsonObject
const textOf = (output: JsonObject) => ((output.result as JsonObject).content as JsonObject[])[0]?.text

describe.each(Object.entries(connections))('mcp over %s', (way, connection) => {
  it('lists and executes tools', async () => {
    const listed = await run({ ...connection(), operation: 'listTools' })
    expect(Object.keys(listed)).toEqual(['result'])
    const tools = (listed.result as JsonObject).tools as JsonObject[]
    expect(tools[0]).toMatchObject({
      name: 'add',
      description: 'Adds two numbers',
      inputSchema: { type: 'object', required: ['a', 'b'] },
    })
    const output = { result: { content: [{ type: 'text', text: '5' }] } }
    expect(
      await run({ ...connection(), operation: 'executeTool', toolName: 'add', toolParameters: { a: 2, b: 3 } }),
    ).toEqual(output)
    expect(
      await run({ ...connection(), operation: 'executeTool', toolName: 'add', toolParameters: '{"a": 2, "b": 3}' }),
    ).toEqual(output)
  })

  it('lists and reads resources, lists and gets prompts', async () => {
    expect(await run({ ...connection(), operation: 'listResources' })).toMatchObject({
      result: { resources: [{ uri: 'memo://report', name: 'report' }] },
    })
    expect(await run({ ...connection(), operation: 'readResource', resourceUri: 'memo://pages/7' })).toEqual({
      result: { contents: [{ uri: 'memo://pages/7', text: 'page 7' }] },
    })
    expect(await run({ ...connection(), operation: 'listPrompts' })).toMatchObject({
      result: { prompts: [{ name: 'greet' }] },
    })
    expect(
      await run({ ...connection(), operation: 'getPrompt', promptName: 'greet', promptParameters: { name: 'Ada' } }),
    ).toEqual({
      result: { messages: [{ role: 'user', content: { type: 'text', text: 'Greet Ada' } }] },
    })
  })

  it('tells what fails at the server', async () => {
    expect(await failure(run({ ...connection(), operation: 'executeTool', toolName: 'fail' }))).toMatchObject({
      message: "the tool 'fail' failed: no luck today",
      code: 'tool_failed',
      output: { result: { isError: true } },
    })
    expect((await failure(run({ ...connection(), operation: 'executeTool', toolName: 'missing' }))).message).toContain(
      'missing',
    )
    expect(
      await failure(run({ ...connection(), operation: 'readResource', resourceUri: 'memo://none' })),
    ).toMatchObject({
      message: expect.stringContaining('the MCP server said: '),
      code: 'mcp_error',
    })
    expect((await failure(run({ ...connection(), operation: 'executeTool' }))).message).toContain(
      'toolName parameter is required',
    )
    expect(
      (await failure(run({ ...connection(), operation: 'executeTool', toolName: 'add', toolParameters: '[1]' }))).code,
    ).toBe('invalid_params')
  })

  it('ends in time', async () => {
    // A program needs some of it to start.
    const timeout = way === 'cmd' ? 1_500 : '300ms'
    const hang = { ...connection(), operation: 'executeTool', toolName: 'hang', timeout }
    expect(await failure(run(hang))).toMatchObject({
      message: `the MCP server did not answer within ${way === 'cmd' ? '1.5s' : '300ms'}`,
      code: 'timeout',
    })
  })
})

describe('a server over HTTP', () => {
  it('is left when the work is done or the step is stopped', async () => {
    for (const connection of [connections.http, connections.sse]) {
      await run({ ...connection?.(), operation: 'listTools' })
      await vi.waitFor(() => expect(server.sessions()).toBe(0))
    }
    for (const connection of [connections.http, connections.sse]) {
      const hanging = server.hanging()
      const stopped = new AbortController()
      const hang = { ...connection?.(), operation: 'executeTool', toolName: 'hang' }
      const failed = failure(run(hang, { signal: stopped.signal }))
      await vi.waitFor(() => expect(server.hanging()).toBe(hanging + 1))
      stopped.abort()
      expect(await failed).toMatchObject({ code: 'aborted', retryable: false })
      await vi.waitFor(() => expect(server.sessions()).toBe(0))
    }
  })

  it('may refuse, be gone, or be out of bounds', async () => {
    const wrong = { Authorization: 'Bearer wrong-token-1' }
    for (const connection of [connections.http, connections.sse]) {
      const params = { ...connection?.(), operation: 'listTools' }
      const refused = await failure(run({ ...params, headers: wrong }))
      expect(refused).toMatchObject({
        message: 'the MCP server refused with status 401',
        code: 'http_status',
        retryable: false,
      })
      expect(JSON.stringify([refused, refused.stack])).not.toContain('wrong-token-1')
      const url = `http://127.0.0.1:${await closedPort()}/mcp`
      expect((await failure(run({ ...params, url }))).message).toMatch(/127\.0\.0\.1|MCP server/)
      const guarded = mcp({ outbound: new GuardedOutbound() })
      expect((await failure(outputOf(guarded, params))).message).toContain('loopback address')
    }
    expect((await failure(run({ connectionType: 'http', operation: 'listTools' }))).message).toContain(
      'url parameter is required',
    )
  })

  it('may not send the token elsewhere', async () => {
    const thief = await LocalServer.start((_request, response) => response.writeHead(200).end())
    const away = await LocalServer.start((_request, response) =>
      response.writeHead(307, { location: thief.origin }).end(),
    )
    try {
      for (const connectionType of ['http', 'sse'])
        await failure(run({ connectionType, url: away.origin, headers, operation: 'listTools' }))
      expect(thief.requests).toEqual([])
    } finally {
      await away.stop()
      await thief.stop()
    }
  })
})

describe('a server that is a program', () => {
  const execute = (toolName: string, more: JsonObject = {}) => ({
    connectionType: 'cmd',
    ...program,
    operation: 'executeTool',
    toolName,
    ...more,
  })

  it('must be allowed by the operator', async () => {
    const none = mcp({ outbound: loopbackOutbound })
    expect(await failure(outputOf(none, execute('add')))).toMatchObject({
      message: `the command '${process.execPath}' is not among the MCP commands that this server allows`,
      code: 'command_refused',
      retryable: false,
    })
    for (const command of ['/bin/sh', 'node', `${process.execPath} `, '../node']) {
      expect((await failure(run({ ...execute('add'), command }))).code).toBe('command_refused')
    }
    expect((await failure(run({ connectionType: 'cmd', operation: 'listTools' }))).message).toContain(
      'command parameter is required',
    )
  })

  it('sees a clean environment and an empty folder that vanishes', async () => {
    vi.stubEnv('DATABASE_URL', 'postgres://operator')
    const environment = JSON.parse(
      String(textOf(await run(execute('environment', { env: { TOKEN: 'abc', LIMIT: 5 } })))),
    ) as Record<string, string>
    vi.unstubAllEnvs()
    expect(environment).toMatchObject({ TOKEN: 'abc', LIMIT: '5', PATH: expect.stringContaining('/usr/bin') })
    expect(Object.keys(environment).sort()).toEqual(['HOME', 'LANG', 'LIMIT', 'PATH', 'TOKEN', 'cwd'])
    expect(environment.HOME).toBe(environment.cwd)
    expect(existsSync(String(environment.cwd))).toBe(false)
    const lines = JSON.parse(String(textOf(await run(execute('environment', { env: 'A=1\nB=x=y\n' }))))) as Record<
      string,
      string
    >
    expect(lines).toMatchObject({ A: '1', B: 'x=y' })
  })

  it('may not be steered by variables', async () => {
    const hostile = ['LD_PRELOAD', 'NODE_OPTIONS', 'PATH', 'npm_config_script_shell', 'A B', 'X=Y']
    for (const name of hostile)
      expect((await failure(run(execute('add', { env: { [name]: 'x' } })))).code).toBe('invalid_params')
  })

  it('leaves nobody behind', async () => {
    const pid = Number(textOf(await run(execute('grandchild'))))
    expect(pid).toBeGreaterThan(1)
    await vi.waitFor(() => expect(isRunning(pid)).toBe(false))
  })

  it('is killed when the step is stopped', async () => {
    const before = children()
    const stopped = new AbortController()
    const failed = failure(run(execute('hang'), { signal: stopped.signal }))
    await vi.waitFor(() => expect(children().length).toBeGreaterThan(before.length))
    const started = children().filter((pid) => !before.includes(pid))
    stopped.abort()
    expect(await failed).toMatchObject({ code: 'aborted' })
    await vi.waitFor(() => expect(started.filter(isRunning)).toEqual([]))
  })

  it('may end early or not start', async () => {
    const died = await failure(run(execute('die', { env: { TOKEN: 'secret-of-the-flow' } })))
    expect(died).toMatchObject({
      message: 'the MCP server ended early; it said: out of memory, token ***',
      code: 'command_failed',
    })
    expect(await failure(run({ ...execute('add'), command: 'no-such-program' }))).toMatchObject({
      message: "the command 'no-such-program' cannot be started (ENOENT)",
      retryable: false,
    })
    const mute = {
      ...execute('add'),
      args: '-e process.stdout.write("chatter\\n");setInterval(()=>{},1000)',
      timeout: '300ms',
    }
    expect((await failure(run(mute))).code).toBe('timeout')
  })
})

/** A zombie that waits for its parent is no longer running. */
function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

function children(): number[] {
  return readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8')
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map(Number)
}
