import { OutboundFailed, OutboundRefused } from './errors.js'
import { hostOf } from './host.js'
import type { OutboundInit } from './outbound.js'

/** One request as it goes on the wire, before and after redirects. */
export interface WireRequest {
  url: URL
  method: string
  headers: Headers
  body?: Uint8Array | ReadableStream
}

const SECRET_HEADER = /authorization|cookie|token|secret|passw|credential|api-?key|access-?key|signature/i
const BODY_HEADERS = ['content-type', 'content-length', 'content-encoding', 'content-language', 'content-location']

/** Reads what the caller asked for. Credentials in the URL become an `Authorization` header, so that no URL carries any from here on. */
export async function wireRequest(target: string | URL, init: OutboundInit): Promise<WireRequest> {
  const url = httpUrl(target)
  const host = hostOf(url)
  const headers = readHeaders(init.headers, host)
  if ((url.username !== '' || url.password !== '') && !headers.has('authorization')) {
    const credentials = `${decoded(url.username)}:${decoded(url.password)}`
    headers.set('authorization', `Basic ${Buffer.from(credentials).toString('base64')}`)
  }
  url.username = ''
  url.password = ''
  const method = (init.method ?? 'GET').toUpperCase()
  const body = await readBody(init.body, headers)
  if (body !== undefined && (method === 'GET' || method === 'HEAD')) {
    throw new OutboundFailed(host, `a ${method} request cannot have a body`)
  }
  return { url, method, headers, body }
}

/**
 * The request that a redirect asks for, by the rules of fetch: 303, and 301 or 302 after a POST, turn into GET without a body; 307 and 308
 * repeat the request. Across origins nothing that looks like a credential goes along.
 */
export function redirected(
  request: WireRequest,
  status: number,
  location: string,
  secretHeaders: readonly string[] = [],
): WireRequest {
  const host = hostOf(request.url)
  const target = URL.parse(location, request.url.href)
  if (!target) throw new OutboundFailed(host, 'it redirects to something that is no URL')
  const url = httpUrl(target)
  url.username = ''
  url.password = ''
  if (url.hash === '') url.hash = request.url.hash
  const headers = new Headers(request.headers)
  let { method, body } = request
  if ((status === 303 && method !== 'HEAD') || ((status === 301 || status === 302) && method === 'POST')) {
    method = 'GET'
    body = undefined
    for (const name of BODY_HEADERS) headers.delete(name)
  }
  if (body instanceof ReadableStream) {
    throw new OutboundFailed(host, 'it redirects, and a streamed body cannot be sent twice')
  }
  if (url.origin !== request.url.origin) {
    const secret = new Set(['host', ...secretHeaders.map((name) => name.toLowerCase())])
    for (const name of [...headers.keys()]) if (secret.has(name) || SECRET_HEADER.test(name)) headers.delete(name)
  }
  return { url, method, headers, body }
}

function httpUrl(target: string | URL): URL {
  // The text is not repeated in errors: it may hold credentials.
  const url = URL.parse(String(target))
  if (!url) throw new OutboundRefused('', 'this is not a URL')
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new OutboundRefused(hostOf(url), `only http and https are allowed, not ${url.protocol.slice(0, -1)}`)
  }
  return url
}

/** Percent-decoded, unless its percent signs are meant literally. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function readHeaders(given: OutboundInit['headers'], host: string): Headers {
  const headers = new Headers()
  const pairs: Iterable<readonly [string, string]> =
    given === undefined || given === null
      ? []
      : Symbol.iterator in given
        ? (given as Iterable<readonly [string, string]>)
        : Object.entries(given as Record<string, string>)
  for (const [name, value] of pairs) {
    try {
      headers.append(name, value)
    } catch {
      throw new OutboundFailed(host, `the header '${String(name).slice(0, 100)}' cannot be sent`)
    }
  }
  return headers
}

/** Whatever is not a stream is read into bytes, so that a redirect can send it again. */
async function readBody(body: OutboundInit['body'], headers: Headers): Promise<WireRequest['body']> {
  if (body === undefined || body === null) return undefined
  if (body instanceof ReadableStream) return body
  const read = new Response(body as ConstructorParameters<typeof Response>[0])
  const contentType = read.headers.get('content-type')
  if (contentType && !headers.has('content-type')) headers.set('content-type', contentType)
  return new Uint8Array(await read.arrayBuffer())
}
