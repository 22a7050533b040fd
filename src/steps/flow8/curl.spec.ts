import type { RequestListener } from 'node:http'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../platform/json.js'
import { GuardedOutbound } from '../../platform/outbound/guarded-outbound.js'
import { LocalServer } from '../../platform/outbound/local-server.fake.js'
import { FakeStepContext, failure, runStep } from '../step-context.fake.js'
import { curl } from './curl.js'
import { outputAsDescribed } from './described.fake.js'

const outbound = new GuardedOutbound({ allow: '127.0.0.1', maxResponseBytes: 100_000 })
const guarded = new GuardedOutbound()
afterAll(() => Promise.all([outbound.close(), guarded.close()]))

const open: LocalServer[] = []
afterEach(async () => {
  for (const server of open.splice(0)) await server.stop()
})

async function serve(listener: RequestListener): Promise<LocalServer> {
  const server = await LocalServer.start(listener)
  open.push(server)
  return server
}

const answering =
  (body: string | Buffer, type?: string, status = 200): RequestListener =>
  (_, response) =>
    response.writeHead(status, type === undefined ? {} : { 'content-type': type }).end(body)

const request = (params: JsonObject, step?: FakeStepContext) => outputAsDescribed(curl(outbound), params, step)

describe('curl', () => {
  it('puts out the answer as documented', async () => {
    const server = await serve((_, response) => {
      response.setHeader('set-cookie', ['a=1', 'b=2'])
      answering('{"id":7}', 'application/json')(_, response)
    })
    const step = new FakeStepContext()
    expect(await request({ url: `${server.origin}/users?token=hidden` }, step)).toEqual({
      statusCode: 200,
      body: { id: 7 },
      headers: expect.objectContaining({ 'Content-Type': 'application/json', 'Set-Cookie': ['a=1', 'b=2'] }),
      duration: expect.any(Number),
    })
    expect(step.logs).toEqual([
      { level: 'info', message: 'HTTP answer', data: { statusCode: 200, url: `${server.origin}/users?token=***` } },
    ])
  })

  it.each<[JsonObject, string, string, string | undefined]>([
    [{}, 'GET', '', undefined],
    [{ body: { a: 1 } }, 'POST', '{"a":1}', 'application/json'],
    [{ method: 'put', body: 'plain' }, 'PUT', 'plain', 'text/plain; charset=utf-8'],
    [{ bodyForm: { a: '1 2', b: ['x', 'y'] } }, 'POST', 'a=1+2&b=x&b=y', 'application/x-www-form-urlencoded'],
    [{ method: 'DELETE' }, 'DELETE', '', undefined],
  ])('sends %j', async (params, method, body, type) => {
    const server = await serve(answering(''))
    await request({ url: server.origin, ...params })
    expect(server.requests[0]).toMatchObject({ method, body })
    expect(server.requests[0]?.headers['content-type']).toBe(type)
    expect(server.requests[0]?.headers['idempotency-key']).toBe(method === 'GET' ? undefined : 'run_1:node')
  })

  it.each<[JsonObject, string]>([
    [{ bearerToken: 't' }, 'Bearer t'],
    [{ basicAuth: { username: 'me', password: 'p:w' } }, `Basic ${btoa('me:p:w')}`],
    [{ basicAuth: { username: 'me' }, headers: { Authorization: 'Own' } }, 'Own'],
  ])('authenticates by %j', async (params, authorization) => {
    const server = await serve(answering(''))
    await request({ url: server.origin, ...params })
    expect(server.requests[0]?.headers.authorization).toBe(authorization)
  })

  it.each<[string | Buffer, string | undefined, string | undefined, unknown, string?]>([
    ['{"a":1}', 'text/plain', undefined, { a: 1 }],
    ['{"a":1}', 'application/json', 'text', '{"a":1}'],
    ['[1]', 'text/html', 'json', [1]],
    ['', 'application/json', 'json', null],
    ['text', 'text/plain', 'binary', 'dGV4dA==', 'base64'],
    [Buffer.from([0x89, 0, 0xff]), 'image/png', undefined, 'iQD/', 'base64'],
    [Buffer.from([0x61, 0, 0x62]), 'image/png', 'text', 'a\uFFFDb'],
    [Buffer.from([0xe9]), 'text/plain; charset=iso-8859-1', 'text', 'é'],
  ])('makes of %j (%s), asked for %s, %j', async (text, type, responseType, body, encoding) => {
    const server = await serve(answering(text, type))
    const params: JsonObject = responseType === undefined ? {} : { responseType }
    const output = (await request({ url: server.origin, ...params })) as JsonObject
    expect(output.body).toEqual(body)
    expect(output.encoding).toBe(encoding)
  })

  it.each([404, 500])('puts out status %d like any other, unless it is to fail', async (status) => {
    const server = await serve(answering('<h1>no</h1>', 'text/html', status))
    const step = new FakeStepContext()
    const params = { url: server.origin, responseType: 'json' }
    expect(await request(params, step)).toMatchObject({ statusCode: status, body: '<h1>no</h1>' })
    expect(step.logs).toMatchObject([{ level: 'warn' }])
    expect(await failure(request({ ...params, failOnError: true }))).toMatchObject({
      message: `the server answered with status ${status}`,
      code: 'http_status',
      output: { statusCode: status, body: '<h1>no</h1>' },
      retryable: true,
    })
  })

  it('fails where JSON is asked for and something else comes', async () => {
    const server = await serve(answering('<h1>hi</h1>', 'text/html'))
    expect(await failure(request({ url: server.origin, responseType: 'json' }))).toMatchObject({
      code: 'not_json',
      output: { statusCode: 200, body: '<h1>hi</h1>' },
    })
  })

  it('follows redirects unless told not to', async () => {
    const server = await serve((incoming, response) => {
      if (incoming.url === '/there') response.end('there')
      else response.writeHead(302, { location: '/there' }).end()
    })
    expect(await request({ url: server.origin })).toMatchObject({ statusCode: 200, body: 'there' })
    expect(await request({ url: server.origin, followRedirects: false })).toMatchObject({
      statusCode: 302,
      headers: { Location: '/there' },
    })
  })

  it('gives up after its timeout, and where nobody listens', async () => {
    const silent = await serve(() => {})
    expect(await failure(request({ url: silent.origin, timeout: 0.1 }))).toMatchObject({ code: 'outbound_timeout' })
    const gone = await LocalServer.start(answering(''))
    const { origin } = gone
    await gone.stop()
    expect(await failure(request({ url: origin }))).toMatchObject({ code: 'outbound_failed', retryable: true })
  })

  it.each<JsonObject>([
    {},
    { url: 'ftp://example.com' },
    { url: 'file:///etc/passwd' },
    { url: 'https://a.example', method: 'TRACE' },
    { url: 'https://a.example', method: 'GET', body: 'x' },
    { url: 'https://a.example', body: 'x', bodyForm: {} },
    { url: 'https://a.example', basicAuth: {} },
    { url: 'https://a.example', output: '/etc/passwd' },
  ])('refuses %j', async (params) => {
    expect(await failure(request(params))).toMatchObject({ code: 'invalid_params', retryable: false })
  })
})

describe('for strangers', () => {
  it.each([
    'http://127.0.0.1/',
    'http://localhost:8080/metrics',
    'http://[::1]/',
    'http://[::ffff:10.0.0.1]/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://169.254.169.254/latest/meta-data',
    'http://192.168.1.1/',
  ])('%s is out of reach', async (url) => {
    expect(await failure(runStep(curl(guarded), { url }))).toMatchObject({ code: 'outbound_refused', retryable: false })
  })

  it('so is a private address behind a redirect', async () => {
    const server = await serve((_, response) => response.writeHead(302, { location: 'http://10.0.0.1/' }).end())
    expect(await failure(request({ url: server.origin }))).toMatchObject({ code: 'outbound_refused' })
  })

  it.each<JsonObject>([
    { headers: { 'X-A': 'a\r\nX-Evil: 1' } },
    { headers: { 'X-A\r\nX-Evil': 'a' } },
    { bearerToken: 'a\r\nX-Evil: 1' },
  ])('no header is smuggled in by %j', async (params) => {
    const server = await serve(answering(''))
    expect(await failure(request({ url: server.origin, ...params }))).toMatchObject({ code: 'invalid_params' })
    expect(server.requests).toEqual([])
  })

  it('names of the prototype are names', async () => {
    const server = await serve(answering('{"__proto__":{"polluted":1}}', 'application/json'))
    const headers = JSON.parse('{"__proto__":"x","constructor":"y"}')
    const bodyForm = JSON.parse('{"__proto__":"x"}')
    const output = (await request({ url: server.origin, headers, bodyForm })) as { body: object }
    expect(server.requests[0]).toMatchObject({ body: '__proto__=x' })
    expect(Object.keys(output.body)).toEqual(['__proto__'])
    expect(({} as JsonObject).polluted).toBeUndefined()
  })
})
