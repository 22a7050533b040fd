import type { RequestListener } from 'node:http'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import type { JsonObject } from '../platform/json.js'
import { GuardedOutbound } from '../platform/outbound/guarded-outbound.js'
import { LocalServer } from '../platform/outbound/local-server.fake.js'
import { httpRequest } from './http-request.js'
import { notification } from './notification.js'
import { FakeStepContext, failure, runStep } from './step-context.fake.js'
import { webhook } from './webhook.js'

const outbound = new GuardedOutbound({ allow: '127.0.0.1', maxResponseBytes: 100_000 })
afterAll(() => outbound.close())

const open: LocalServer[] = []
afterEach(async () => {
  for (const server of open.splice(0)) await server.stop()
})

async function serve(listener: RequestListener): Promise<LocalServer> {
  const server = await LocalServer.start(listener)
  open.push(server)
  return server
}

const json =
  (body: unknown, status = 200): RequestListener =>
  (_, response) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
const status =
  (code: number): RequestListener =>
  (_, response) =>
    response.writeHead(code).end()

const request = (params: JsonObject, step?: FakeStepContext) => runStep(httpRequest(outbound), params, step)

describe('http.request', () => {
  it('answers what the documentation promises', async () => {
    const server = await serve((_, response) => {
      response.setHeader('set-cookie', ['a=1', 'b=2'])
      response.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'x-request-id': '7' })
      response.end('{"key":"value"}')
    })
    const step = new FakeStepContext()
    const { output, action } = await request({ url: `${server.origin}/data` }, step)
    expect(action).toBe('success')
    expect(output).toEqual({
      status_code: 200,
      headers: expect.objectContaining({
        'Content-Type': ['application/json; charset=utf-8'],
        'X-Request-Id': ['7'],
        'Set-Cookie': ['a=1', 'b=2'],
      }),
      body: { key: 'value' },
      raw_body: '{"key":"value"}',
      metadata: {
        content_type: 'application/json; charset=utf-8',
        content_length: 15,
        request_url: `${server.origin}/data`,
        request_method: 'GET',
        timing: expect.stringMatching(/^[0-9.]+m?s$/),
        timing_ms: expect.any(Number),
      },
      success: true,
      timing_ms: expect.any(Number),
    })
    expect(step.logs).toEqual([
      { level: 'info', message: 'HTTP request successful', data: { status_code: 200, url: `${server.origin}/data` } },
    ])
  })

  it.each<[string, string | undefined, unknown]>([
    ['{"a":1}', 'application/problem+json', { a: 1 }],
    ['3', 'application/json', 3],
    ['{broken', 'application/json', '{broken'],
    ['{"a":1}', 'text/plain', { a: 1 }],
    ['[1]', undefined, [1]],
    ['3', 'text/plain', '3'],
    ['{"a":1}', 'text/html', '{"a":1}'],
    ['', 'application/json', ''],
  ])('body %j of type %s is %j', async (text, type, body) => {
    const server = await serve((_, response) => {
      if (type) response.setHeader('content-type', type)
      response.end(text)
    })
    expect((await request({ url: server.origin })).output).toMatchObject({ body, raw_body: text })
  })

  it('reads other charsets, and offers what is no text in base64', async () => {
    const latin = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'text/plain; charset=iso-8859-1' }).end(Buffer.from([0xe9]))
    })
    expect((await request({ url: latin.origin })).output).toMatchObject({ body: 'é' })
    const image = await serve((_, response) => response.end(Buffer.from([0x89, 0x50, 0, 0xff])))
    const { output } = await request({ url: image.origin })
    expect(output).toMatchObject({ body: 'iVAA/w==', raw_body: 'iVAA/w==', metadata: { body_encoding: 'base64' } })
  })

  it.each<[JsonObject, string, string | undefined]>([
    [{ body: { a: [1] } }, '{"a":[1]}', 'application/json'],
    [{ body: [1, 2] }, '[1,2]', 'application/json'],
    [{ body: ' {"a":1}' }, ' {"a":1}', 'application/json'],
    [{ body: 'plain' }, 'plain', 'text/plain; charset=utf-8'],
    [{ body: 5 }, '5', 'application/json'],
    [{ body: '<a/>', headers: { 'content-type': 'application/xml' } }, '<a/>', 'application/xml'],
    [{ form_data: { a: '1 2', b: ['x', 'y'], c: true } }, 'a=1+2&b=x&b=y&c=true', 'application/x-www-form-urlencoded'],
    [{}, '', undefined],
    [{ body: null }, '', undefined],
  ])('sends %j', async (params, body, contentType) => {
    const server = await serve(status(200))
    await request({ url: server.origin, method: 'post', ...params })
    expect(server.requests[0]).toMatchObject({ method: 'POST', body })
    expect(server.requests[0]?.headers['content-type']).toBe(contentType)
  })

  it.each<[JsonObject, Record<string, string>]>([
    [{ auth: { token: 't' } }, { authorization: 'Bearer t' }],
    [{ bearer_token: 't' }, { authorization: 'Bearer t' }],
    [{ auth: { username: 'me', password: 'p:w' } }, { authorization: `Basic ${btoa('me:p:w')}` }],
    [{ username: 'me', password: 'pw' }, { authorization: `Basic ${btoa('me:pw')}` }],
    [{ auth: { api_key: 'k' } }, { 'x-api-key': 'k' }],
    [{ api_key: 'k', key_name: 'X-Custom' }, { 'x-custom': 'k' }],
    [{ auth: { api_key: 'k', key_name: 'X-Other' } }, { 'x-other': 'k' }],
    [{ bearer_token: 't', headers: { Authorization: 'Custom c' } }, { authorization: 'Custom c' }],
    [{ headers: { 'X-Number': 5, 'X-List': ['a', 'b'] } }, { 'x-number': '5', 'x-list': 'a, b' }],
  ])('authenticates and heads by %j', async (params, headers) => {
    const server = await serve(status(200))
    await request({ url: server.origin, ...params })
    expect(server.requests[0]?.headers).toMatchObject(headers)
  })

  it('sends the same Idempotency-Key on every attempt at an unsafe method, unless the author set one', async () => {
    const server = await serve(status(200))
    for (const attempt of [1, 2])
      await request({ url: server.origin, method: 'POST' }, new FakeStepContext({ attempt }))
    await request({ url: server.origin, method: 'PUT', headers: { 'idempotency-key': 'mine' } })
    await request({ url: server.origin })
    expect(server.requests.map(({ headers }) => headers['idempotency-key'])).toEqual([
      'run_1:node',
      'run_1:node',
      'mine',
      undefined,
    ])
  })

  it('hands on the trace that it belongs to, unless the author named another', async () => {
    const server = await serve(status(200))
    const traced = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'v=1' }
    const step = () => Object.assign(new FakeStepContext(), { traceHeaders: () => traced })
    await request({ url: server.origin }, step())
    await request({ url: server.origin, headers: { traceparent: 'mine' } }, step())
    await request({ url: server.origin })
    expect(server.requests.map(({ headers }) => [headers.traceparent, headers.tracestate])).toEqual([
      [traced.traceparent, 'v=1'],
      ['mine', undefined],
      [undefined, undefined],
    ])
  })

  it.each([
    [404, 'client_error'],
    [429, 'client_error'],
    [500, 'server_error'],
    [503, 'server_error'],
  ])('fails on status %d with the action %s and the response', async (code, action) => {
    const server = await serve(json({ reason: 'because' }, code))
    const step = new FakeStepContext()
    const error = await failure(request({ url: server.origin }, step))
    expect(error).toMatchObject({
      message: `HTTP request failed with status ${code}`,
      code: 'http_status',
      action,
      retryable: true,
    })
    expect(error.output).toMatchObject({ status_code: code, body: { reason: 'because' }, success: false })
    expect(step.logs).toMatchObject([{ level: 'warn', message: 'HTTP request failed', data: { status_code: code } }])
  })

  it.each([
    [201, 'success', true],
    [204, 'success', true],
    [304, 'default', false],
  ])('routes status %d by %s', async (code, action, success) => {
    const server = await serve(status(code))
    expect(await request({ url: server.origin })).toMatchObject({ action, output: { status_code: code, success } })
  })

  it('follows redirects unless told not to, in either spelling', async () => {
    const server = await serve((incoming, response) => {
      if (incoming.url === '/there') response.end('there')
      else response.writeHead(302, { location: '/there' }).end()
    })
    expect((await request({ url: server.origin })).output).toMatchObject({ status_code: 200, body: 'there' })
    const spellings: JsonObject[] = [{ follow_redirects: false }, { follow_redirect: false }]
    for (const off of spellings) {
      const { output, action } = await request({ url: server.origin, ...off })
      expect([(output as JsonObject).status_code, action]).toEqual([302, 'default'])
      expect(output).toMatchObject({ headers: { Location: ['/there'] } })
    }
  })

  it('does not carry an API key over to another origin', async () => {
    const target = await serve(status(200))
    const server = await serve((_, response) => response.writeHead(302, { location: target.origin }).end())
    await request({ url: server.origin, api_key: 'k', key_name: 'X-Odd-Name' })
    expect(server.requests[0]?.headers['x-odd-name']).toBe('k')
    expect(target.requests[0]?.headers).not.toHaveProperty('x-odd-name')
  })

  it.each(['100ms', 0.1])('gives up after its timeout of %s', async (timeout) => {
    const server = await serve(() => {})
    const error = await failure(request({ url: server.origin, timeout }))
    expect(error).toMatchObject({
      code: 'outbound_timeout',
      message: "request to '127.0.0.1' timed out after 100ms",
      retryable: true,
    })
  })

  it('fails in plain words where the target is private, down or too talkative', async () => {
    const refused = await failure(request({ url: 'http://169.254.169.254/latest' }))
    expect(refused).toMatchObject({ code: 'outbound_refused', retryable: false })
    expect(refused.message).toBe("request to '169.254.169.254' refused: it is a cloud metadata address")
    const talkative = await serve((_, response) => response.end('x'.repeat(100_001)))
    expect(await failure(request({ url: talkative.origin }))).toMatchObject({
      code: 'outbound_too_large',
      retryable: false,
    })
    const gone = await LocalServer.start(status(200))
    const { origin } = gone
    await gone.stop()
    expect(await failure(request({ url: origin }))).toMatchObject({
      code: 'outbound_failed',
      message: "request to '127.0.0.1' failed: connection refused",
      retryable: true,
    })
    expect(await failure(request({ url: origin, body: 'x' }))).toMatchObject({ code: 'invalid_params' })
  })

  it('is aborted in flight with its run', async () => {
    const closed = vi.fn()
    const server = await serve((_, response) => response.on('close', closed))
    const ending = new AbortController()
    const running = request({ url: server.origin }, new FakeStepContext({ signal: ending.signal }))
    await vi.waitFor(() => expect(server.requests).toHaveLength(1))
    ending.abort(new Error('cancelled'))
    await expect(running).rejects.toThrow('cancelled')
    await vi.waitFor(() => expect(closed).toHaveBeenCalled())
  })

  it('keeps credentials out of logs, outputs and errors', async () => {
    const server = await serve(json({}, 200))
    const step = new FakeStepContext()
    const url = `http://me:hunter2@${server.authority}/x?page=2&api_key=hunter2#hunter2`
    const { output } = await request({ url, headers: { 'X-Secret': 'hunter2' }, bearer_token: 'hunter2' }, step)
    expect(step.logs[0]?.data).toEqual({ status_code: 200, url: `${server.origin}/x?page=2&api_key=***` })
    expect((output as { metadata: JsonObject }).metadata.request_url).not.toContain('me:')
    const faulty: JsonObject[] = [
      { url: server.origin, headers: { 'X-Secret': 'hunter2\n' + 'x: y' } },
      { url: server.origin, bearer_token: 'hunter2\n\0' },
      { url: 'http://me:hunter2@10.0.0.1/' },
      { url: 'http://me:hunter2@' },
    ]
    for (const params of faulty) {
      expect((await failure(request(params))).message).not.toContain('hunter2')
    }
  })
})

describe('webhook', () => {
  const send = (params: JsonObject, step?: FakeStepContext) => runStep(webhook(outbound), params, step)

  it('posts what came in where it has no body of its own', async () => {
    const server = await serve(json({ received: true }, 202))
    const step = new FakeStepContext({ input: { order: 7 } })
    const { output, action } = await send({ url: `${server.origin}/callback` }, step)
    expect(output).toEqual({
      status: 'sent',
      status_code: 202,
      response: { received: true },
      timing_ms: expect.any(Number),
    })
    expect(action).toBeUndefined()
    expect(server.requests[0]).toMatchObject({ method: 'POST', url: '/callback', body: '{"order":7}' })
    expect(server.requests[0]?.headers).toMatchObject({
      'content-type': 'application/json',
      'idempotency-key': 'run_1:node',
    })
  })

  it('sends its own body, method and headers', async () => {
    const server = await serve(status(204))
    await send(
      { url: server.origin, method: 'PUT', body: 'text', headers: { 'X-A': 'b' } },
      new FakeStepContext({ input: 1 }),
    )
    expect(server.requests[0]).toMatchObject({ method: 'PUT', body: 'text', headers: { 'x-a': 'b' } })
    await send({ url: server.origin, method: 'GET' }, new FakeStepContext({ input: { order: 7 } }))
    expect(server.requests[1]).toMatchObject({ method: 'GET', body: '' })
  })

  it('fails as an HTTP request does', async () => {
    const server = await serve(status(500))
    expect(await failure(send({ url: server.origin }))).toMatchObject({
      message: 'HTTP request failed with status 500',
      action: 'server_error',
    })
  })
})

describe('notification', () => {
  const notify = (params: JsonObject) => runStep(notification(outbound), params)

  it.each<[JsonObject, JsonObject]>([
    [{ channel: 'slack', message: 'hi' }, { text: 'hi' }],
    [{ channel: 'slack', message: 'hi', title: 'Import' }, { text: '*Import*\nhi' }],
    [
      { channel: 'teams', message: 'hi', title: 'Import' },
      { text: 'hi', title: 'Import' },
    ],
    [{ channel: 'discord', message: 'hi' }, { content: 'hi' }],
    [{ message: { rows: 3 } }, { message: '{"rows":3}' }],
    [
      { channel: 'webhook', message: 'hi', data: [1] },
      { message: 'hi', data: [1] },
    ],
  ])('%j is sent as %j', async (params, body) => {
    const server = await serve(status(200))
    const { output } = await notify({ url: server.origin, ...params })
    expect(output).toEqual({ status: 'sent', channel: params.channel ?? 'webhook', status_code: 200 })
    expect(JSON.parse(server.requests[0]?.body ?? '')).toEqual(body)
    expect(server.requests[0]?.method).toBe('POST')
  })

  it('fails where the channel refuses it', async () => {
    const server = await serve(status(403))
    const error = await failure(notify({ url: server.origin, message: 'hi' }))
    expect(error).toMatchObject({ message: 'HTTP request failed with status 403', action: 'client_error' })
  })
})
