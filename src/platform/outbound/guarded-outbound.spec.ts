import { once } from 'node:events'
import type { RequestListener, ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type TestCertificate, testCertificate } from '../../../test/support/certificate.js'
import { OutboundFailed, OutboundRefused, OutboundTimeout, OutboundTooLarge } from './errors.js'
import { GuardedOutbound, type GuardedOutboundOptions } from './guarded-outbound.js'
import { LocalServer } from './local-server.fake.js'

const open: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.stop()
})

async function serve(listener: RequestListener, address?: string): Promise<LocalServer> {
  const server = await LocalServer.start(listener, address)
  open.push(server)
  return server
}

function client(options: GuardedOutboundOptions = {}): GuardedOutbound {
  const outbound = new GuardedOutbound(options)
  open.push({ stop: () => outbound.close() })
  return outbound
}

const ok: RequestListener = (_, response) => response.end('ok')
const redirectTo =
  (location: string, status = 302): RequestListener =>
  (_, response) =>
    response.writeHead(status, { location }).end()

describe('server-side request forgery', () => {
  it.each([
    'localhost',
    'localhost.',
    '127.1',
    '2130706433',
    '0177.0.0.1',
    '0x7f.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::]',
    '0.0.0.0',
  ])('refuses http://%s although a server listens there', async (host) => {
    const server = await serve(ok, '::')
    const error = await client()
      .fetch(`http://${host}:${server.port}/`)
      .catch((thrown) => thrown)
    expect(error).toBeInstanceOf(OutboundRefused)
    expect(error.message).toMatch(/^request to '.+' refused: it (is|leads to) an? (loopback|unspecified) address$/)
    expect(server.requests).toHaveLength(0)
  })

  it.each(['169.254.169.254', '[fd00::1]', '10.0.0.1', '[64:ff9b::a00:1]'])('refuses http://%s', async (host) => {
    await expect(client().fetch(`http://${host}/latest/meta-data`)).rejects.toThrow(OutboundRefused)
  })

  it('refuses a name that the DNS answers with a private address', async () => {
    const server = await serve(ok)
    const outbound = client({ resolver: async () => [{ address: '127.0.0.1', family: 4 }] })
    await expect(outbound.fetch(`http://innocent.example:${server.port}/`)).rejects.toThrow(
      "request to 'innocent.example' refused: it leads to a loopback address",
    )
    expect(server.requests).toHaveLength(0)
  })

  it('connects only to an address that was vetted, however the DNS answers the next time', async () => {
    const server = await serve(ok)
    const asked: string[] = []
    const outbound = client({
      allow: '127.0.0.2',
      resolver: async (host) => {
        asked.push(host)
        return [{ address: asked.length === 1 ? '127.0.0.2' : '127.0.0.1', family: 4 }]
      },
    })
    const url = `http://rebind.example:${server.port}/`
    // Nothing listens at the vetted 127.0.0.2. Had the name been asked for again to connect, 127.0.0.1 would have answered.
    await expect(outbound.fetch(url)).rejects.toThrow('connection refused')
    expect(asked).toEqual(['rebind.example'])
    await expect(outbound.fetch(url)).rejects.toThrow(OutboundRefused)
    expect(server.requests).toHaveLength(0)
  })

  it('refuses a redirect to a private address', async () => {
    const inner = await serve(ok)
    const outer = await serve(redirectTo(`http://127.0.0.1:${inner.port}/admin`))
    const outbound = client({ allow: outer.authority })
    await expect(outbound.fetch(outer.origin)).rejects.toThrow(
      "request to '127.0.0.1' refused: it is a loopback address",
    )
    expect(inner.requests).toHaveLength(0)
  })

  it.each(['file:///etc/passwd', 'ftp://example.com/', 'data:text/plain,x', 'javascript:1'])(
    'refuses %s, directly and by redirect',
    async (url) => {
      const server = await serve(redirectTo(url))
      const outbound = client({ allow: '127.0.0.1' })
      await expect(outbound.fetch(url)).rejects.toThrow(/only http and https are allowed/)
      await expect(outbound.fetch(server.origin)).rejects.toThrow(/only http and https are allowed/)
    },
  )

  it.each(['127.0.0.1', '127.0.0.0/8', 'localhost', '127.0.0.1:PORT', 'localhost:PORT', '[::ffff:127.0.0.1]:PORT'])(
    'reaches the loopback when OUTBOUND_ALLOW says %s',
    async (allow) => {
      const server = await serve(ok)
      const host = allow.startsWith('localhost') ? 'localhost' : '127.0.0.1'
      const outbound = client({ allow: allow.replace('PORT', String(server.port)) })
      const response = await outbound.fetch(`http://${host}:${server.port}/`)
      expect(await response.text()).toBe('ok')
    },
  )

  it('reaches [::1] when OUTBOUND_ALLOW says [::1]:port, and no other port', async () => {
    const server = await serve(ok, '::1')
    const outbound = client({ allow: `[::1]:${server.port}` })
    expect(await (await outbound.fetch(`http://[::1]:${server.port}/`)).text()).toBe('ok')
    await expect(outbound.fetch(`http://[::1]:${server.port + 1}/`)).rejects.toThrow(OutboundRefused)
  })

  it('resolves for clients that connect by address', async () => {
    expect(await client({ allow: '127.0.0.1:25' }).resolve('127.1', 25)).toEqual({ address: '127.0.0.1', family: 4 })
    await expect(client({ allow: '127.0.0.1:25' }).resolve('127.1', 26)).rejects.toThrow(OutboundRefused)
  })
})

describe('redirects', () => {
  it('follows them, ten at most', async () => {
    const server = await serve((request, response) => {
      const left = Number(request.url?.slice(1))
      if (left === 0) response.end('there')
      else response.writeHead(302, { location: `/${left - 1}` }).end()
    })
    const outbound = client({ allow: '127.0.0.1' })
    const response = await outbound.fetch(`${server.origin}/10`)
    expect([await response.text(), response.url, response.redirected]).toEqual(['there', `${server.origin}/0`, true])
    await expect(outbound.fetch(`${server.origin}/11`)).rejects.toThrow('more than 10 redirects')
  })

  it('ends a loop', async () => {
    const server = await serve(redirectTo('/again'))
    await expect(client({ allow: '127.0.0.1' }).fetch(server.origin)).rejects.toThrow('more than 10 redirects')
    expect(server.requests).toHaveLength(11)
  })

  it.each([
    [301, 'POST', 'GET', ''],
    [302, 'POST', 'GET', ''],
    [303, 'PUT', 'GET', ''],
    [301, 'PUT', 'PUT', 'data'],
    [307, 'POST', 'POST', 'data'],
    [308, 'POST', 'POST', 'data'],
  ])('%d turns %s into %s', async (status, method, then, body) => {
    const target = await serve(ok)
    const server = await serve(redirectTo(target.origin, status))
    await client({ allow: '127.0.0.1' }).fetch(server.origin, { method, body: 'data' })
    expect(target.requests[0]).toMatchObject({ method: then, body })
    expect(target.requests[0]?.headers['content-type']).toBe(body === '' ? undefined : 'text/plain;charset=UTF-8')
  })

  it('keeps credentials within the origin and drops them across origins', async () => {
    const target = await serve(ok)
    const server = await serve((request, response) => {
      redirectTo(request.url === '/same' ? '/then' : target.origin)(request, response)
    })
    const headers = {
      Authorization: 'Bearer t0ken',
      Cookie: 'sid=1',
      'X-API-Key': 'k',
      'X-Odd': 'odd',
      'X-Plain': 'plain',
      'Idempotency-Key': 'i',
    }
    await client({ allow: '127.0.0.1' }).fetch(`${server.origin}/same`, { headers, secretHeaders: ['x-odd'] })
    expect(server.requests[1]?.headers).toMatchObject({
      authorization: 'Bearer t0ken',
      cookie: 'sid=1',
      'x-odd': 'odd',
    })
    const crossed = target.requests[0]?.headers
    expect(crossed).toMatchObject({ 'x-plain': 'plain', 'idempotency-key': 'i', host: target.authority })
    for (const name of ['authorization', 'cookie', 'x-api-key', 'x-odd']) expect(crossed).not.toHaveProperty(name)
  })

  it('leaves them to the caller, or takes them as an error, when asked to', async () => {
    const server = await serve(redirectTo('/elsewhere'))
    const outbound = client({ allow: '127.0.0.1' })
    const response = await outbound.fetch(server.origin, { redirect: 'manual' })
    expect([response.status, response.headers.get('location')]).toEqual([302, '/elsewhere'])
    await expect(outbound.fetch(server.origin, { redirect: 'error' })).rejects.toThrow('it redirects')
  })
})

describe('what goes over the wire', () => {
  it('sends credentials of the URL as a header, and never shows them again', async () => {
    const server = await serve(ok)
    const outbound = client({ allow: '127.0.0.1' })
    const response = await outbound.fetch(`http://me:s%40cret@${server.authority}/x`)
    expect(server.requests[0]?.headers.authorization).toBe(`Basic ${Buffer.from('me:s@cret').toString('base64')}`)
    expect(response.url).toBe(`${server.origin}/x`)
    for (const url of ['http://me:s3cret@10.0.0.1/', 'http://me:s3cret@exa mple/', 'ftp://me:s3cret@example.com/']) {
      const error = await outbound.fetch(url).catch((thrown) => thrown)
      expect(error).toBeInstanceOf(OutboundRefused)
      expect(error.message).not.toContain('s3cret')
    }
  })

  it('asks before each request is written, once its connection is there', async () => {
    const server = await serve((request, response) =>
      request.url === '/first' ? response.writeHead(302, { location: '/second' }).end() : response.end('ok'),
    )
    const outbound = client({ allow: '127.0.0.1' })
    const asked: number[] = []
    const beforeSend = () => void asked.push(server.requests.length)
    await outbound.fetch(`${server.origin}/first`, { beforeSend })
    expect(asked).toEqual([0, 1])
    const refusing = outbound.fetch(`${server.origin}/third`, {
      method: 'POST',
      body: 'x',
      beforeSend: () => {
        throw new Error('too late')
      },
    })
    await expect(refusing).rejects.toMatchObject({ cause: { cause: { message: 'too late' } } })
    expect(await (await outbound.fetch(`${server.origin}/fourth`)).text()).toBe('ok')
    expect(server.requests.map(({ url }) => url)).toEqual(['/first', '/second', '/fourth'])
  })

  it('says which header cannot be sent, not its value', async () => {
    const headers = { 'X-Key': 's3cret\r\nX-Injected: 1' }
    const error = await client()
      .fetch('http://example.com/', { headers })
      .catch((thrown) => thrown)
    expect(error.message).toBe("request to 'example.com' failed: the header 'X-Key' cannot be sent")
  })

  it('sends forms and files of the standard classes', async () => {
    const server = await serve(ok)
    const outbound = client({ allow: '127.0.0.1' })
    const form = new FormData()
    form.set('file', new Blob(['content']), 'a.txt')
    await outbound.fetch(server.origin, { method: 'POST', body: form })
    expect(server.requests[0]?.headers['content-type']).toMatch(/^multipart\/form-data; boundary=/)
    expect(server.requests[0]?.body).toContain('filename="a.txt"')
    await outbound.fetch(server.origin, { method: 'POST', body: new URLSearchParams({ a: '1 2' }) })
    expect(server.requests[1]?.body).toBe('a=1+2')
  })

  it('hands on statuses and empty bodies as they came', async () => {
    const server = await serve((request, response) => response.writeHead(Number(request.url?.slice(1))).end())
    const outbound = client({ allow: '127.0.0.1' })
    for (const status of [204, 205, 304, 404, 500, 999]) {
      const response = await outbound.fetch(`${server.origin}/${status}`)
      expect([response.status, response.ok, await response.text()]).toEqual([status, status < 300, ''])
    }
  })

  it('says in plain words what failed', async () => {
    const outbound = client({ allow: '127.0.0.1' })
    await expect(outbound.fetch('http://127.0.0.1:25/')).rejects.toThrow('this port is not for HTTP')
    const lost = client({ resolver: () => Promise.reject(Object.assign(new Error('x'), { code: 'ENOTFOUND' })) })
    await expect(lost.fetch('http://lost.example/')).rejects.toThrow(
      "request to 'lost.example' failed: there is no host of this name",
    )
    const gone = await LocalServer.start(ok)
    const { origin } = gone
    await gone.stop()
    const refused = await outbound.fetch(origin).catch((thrown) => thrown)
    expect(refused).toBeInstanceOf(OutboundFailed)
    expect(refused.message).toBe("request to '127.0.0.1' failed: connection refused")
    const cut = await serve((_, response) => {
      response.writeHead(200, { 'content-length': 100 })
      response.write('half', () => response.destroy())
    })
    const response = await outbound.fetch(cut.origin)
    await expect(response.text()).rejects.toThrow('the connection was closed before the response ended')
    const garbage = await serve((_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('not gzip'),
    )
    await expect((await outbound.fetch(garbage.origin)).text()).rejects.toThrow(
      'the response could not be decompressed',
    )
  })
})

describe('TLS', () => {
  const trusted = tls.getCACertificates('default')
  afterEach(() => tls.setDefaultCACertificates(trusted))

  async function serveTls(certificate: TestCertificate) {
    const names: (string | false | null)[] = []
    const server = createHttpsServer(certificate, (request, response) => {
      names.push((request.socket as tls.TLSSocket & { servername?: string | false | null }).servername ?? null)
      response.end('safe')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    open.push({ stop: async () => void server.close() })
    return { names, port: (server.address() as AddressInfo).port }
  }

  it('asks for the host by its name, at the address that was vetted', async () => {
    const certificate = testCertificate(['crm.internal', '127.0.0.1'])
    tls.setDefaultCACertificates([certificate.cert])
    const { names, port } = await serveTls(certificate)
    const outbound = client({ allow: '127.0.0.1', resolver: async () => [{ address: '127.0.0.1', family: 4 }] })
    expect(await (await outbound.fetch(`https://crm.internal:${port}/`)).text()).toBe('safe')
    expect(await (await outbound.fetch(`https://127.0.0.1:${port}/`)).text()).toBe('safe')
    expect(names).toEqual(['crm.internal', false])
    await expect(outbound.fetch(`https://other.internal:${port}/`)).rejects.toThrow(
      'its certificate is for another host',
    )
  })

  it('refuses a certificate that nobody vouches for', async () => {
    const { port } = await serveTls(testCertificate())
    await expect(client({ allow: '127.0.0.1' }).fetch(`https://127.0.0.1:${port}/`)).rejects.toThrow(
      "request to '127.0.0.1' failed: its certificate is self-signed",
    )
  })
})

describe('limits', () => {
  const MIB = 1024 * 1024

  it('refuses a response whose declared length is over the limit', async () => {
    const server = await serve((_, response) => response.end('x'.repeat(1001)))
    const outbound = client({ allow: '127.0.0.1', maxResponseBytes: 1000 })
    await expect(outbound.fetch(server.origin)).rejects.toThrow(OutboundTooLarge)
    const response = await outbound.fetch(server.origin, { maxResponseBytes: 1001 })
    expect(await response.text()).toHaveLength(1001)
  })

  it('cuts a streamed response at the limit, and the server notices', async () => {
    const closed = vi.fn()
    const server = await serve((_, response) => {
      response.on('close', closed)
      const push = () => {
        while (!response.destroyed && response.write('x'.repeat(16_384)));
        response.once('drain', push)
      }
      push()
    })
    const outbound = client({ allow: '127.0.0.1', maxResponseBytes: MIB })
    const response = await outbound.fetch(server.origin)
    await expect(response.text()).rejects.toThrow("the response of '127.0.0.1' is larger than 1048576 bytes")
    await vi.waitFor(() => expect(closed).toHaveBeenCalled())
  })

  it('counts what a gzip bomb unfolds to, not its size on the wire', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * MIB))
    expect(bomb.length).toBeLessThan(100_000)
    const server = await serve((_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb))
    const outbound = client({ allow: '127.0.0.1', maxResponseBytes: MIB })
    const response = await outbound.fetch(server.origin)
    await expect(response.arrayBuffer()).rejects.toThrow(OutboundTooLarge)
  })

  it('ends an exchange whose body drips past the time limit', async () => {
    const closed = vi.fn()
    const server = await serve((_, response) => {
      const drip = setInterval(() => response.write('.'), 10)
      response.on('close', () => {
        clearInterval(drip)
        closed()
      })
    })
    const response = await client({ allow: '127.0.0.1' }).fetch(server.origin, { timeoutMs: 200 })
    const error = await response.text().catch((thrown) => thrown)
    expect(error).toBeInstanceOf(OutboundTimeout)
    expect(error.message).toBe("request to '127.0.0.1' timed out after 200ms")
    await vi.waitFor(() => expect(closed).toHaveBeenCalled())
  })

  it('ends an exchange that never answers, and a name that is never resolved', async () => {
    const server = await serve(() => {})
    const outbound = client({ allow: '127.0.0.1', timeoutMs: 100 })
    await expect(outbound.fetch(server.origin)).rejects.toThrow(OutboundTimeout)
    const mute = client({ resolver: () => new Promise(() => {}), timeoutMs: 100 })
    await expect(mute.fetch('http://mute.example/')).rejects.toThrow(OutboundTimeout)
  })

  it('spans redirects with one time limit', async () => {
    const server = await serve((request, response) => {
      if (request.url === '/') redirectTo('/mute')(request, response)
    })
    await expect(client({ allow: '127.0.0.1' }).fetch(server.origin, { timeoutMs: 150 })).rejects.toThrow(
      OutboundTimeout,
    )
    expect(server.requests.map(({ url }) => url)).toEqual(['/', '/mute'])
  })
})

describe('abort', () => {
  async function hanging(begin: (response: ServerResponse) => void) {
    const closed = vi.fn()
    const server = await serve((_, response) => {
      response.on('close', closed)
      begin(response)
    })
    return { server, closed }
  }

  it('closes the connection of a request in flight', async () => {
    const { server, closed } = await hanging(() => {})
    const ending = new AbortController()
    const fetching = client({ allow: '127.0.0.1' }).fetch(server.origin, { signal: ending.signal })
    await vi.waitFor(() => expect(server.requests).toHaveLength(1))
    ending.abort(new Error('cancelled'))
    await expect(fetching).rejects.toThrow('cancelled')
    await vi.waitFor(() => expect(closed).toHaveBeenCalled())
  })

  it('closes the connection of a body being read', async () => {
    const { server, closed } = await hanging((response) => response.write('some'))
    const ending = new AbortController()
    const response = await client({ allow: '127.0.0.1' }).fetch(server.origin, { signal: ending.signal })
    const reading = response.text()
    ending.abort(new Error('cancelled'))
    await expect(reading).rejects.toThrow('cancelled')
    await vi.waitFor(() => expect(closed).toHaveBeenCalled())
  })

  it('sends nothing when it is aborted already', async () => {
    const server = await serve(ok)
    const fetching = client({ allow: '127.0.0.1' }).fetch(server.origin, {
      signal: AbortSignal.abort(new Error('gone')),
    })
    await expect(fetching).rejects.toThrow('gone')
    expect(server.requests).toHaveLength(0)
  })
})
