import type { IncomingMessage } from 'node:http'
import { S3Error } from './s3.errors.js'
import { asUtf8, decodeUri, encodePath } from './uri-encoding.js'

/** Where the protocol is served. */
export const S3_PATH = '/s3'

const LONGEST_KEY = 1024
const LONGEST_PARAMETER = 8192

/** Parameters of a query, decoded, in their order; a name may come repeatedly. */
export class QueryParameters {
  constructor(readonly entries: readonly (readonly [name: string, value: string])[]) {}

  get(name: string): string | undefined {
    return this.entries.find(([one]) => one === name)?.[1]
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }
}

/** Headers as they were sent: by their names in lower case, in their order, every character one byte. */
export class SentHeaders {
  private readonly values = new Map<string, string[]>()

  constructor(raw: readonly string[]) {
    for (let at = 0; at + 1 < raw.length; at += 2) {
      const name = (raw[at] as string).toLowerCase()
      this.values.set(name, [...(this.values.get(name) ?? []), raw[at + 1] as string])
    }
  }

  all(name: string): readonly string[] {
    return this.values.get(name) ?? []
  }

  get(name: string): string | undefined {
    const all = this.all(name)
    return all.length === 0 ? undefined : all.join(',')
  }

  names(): Iterable<string> {
    return this.values.keys()
  }
}

/** What is asked, read from the request line itself: whatever tidies paths up would change keys. */
export interface S3Request {
  method: string
  /** Below `/s3`, decoded and encoded again as signatures have it: `/bucket/a%20b`, `/` for the service. */
  path: string
  /** Undefined for the service itself. */
  bucket?: string
  /** Literal; undefined for the bucket itself. */
  key?: string
  query: QueryParameters
  headers: SentHeaders
}

/** Throws `InvalidURI`, and `KeyTooLongError`. */
export function readRequest({
  method = '',
  url = '',
  rawHeaders,
}: Pick<IncomingMessage, 'method' | 'url' | 'rawHeaders'>): S3Request {
  const [, path = '', query = ''] = /^([^?#]*)\??([^#]*)/s.exec(asUtf8(url)) ?? []
  // Decoded before it is divided: some write a key's slashes as they write its other characters.
  const decoded = decodeUri(path).slice(S3_PATH.length) || '/'
  const { bucket, key } = target(decoded)
  return {
    method,
    path: encodePath(decoded),
    ...(bucket !== undefined && { bucket }),
    ...(key !== undefined && { key }),
    query: new QueryParameters(parameters(query)),
    headers: new SentHeaders(rawHeaders),
  }
}

/** Whether a request is this protocol's. */
export function isS3(url: string): boolean {
  return url.startsWith(S3_PATH) && /^([/?#]|$)/.test(url.slice(S3_PATH.length))
}

function target(path: string): { bucket?: string; key?: string } {
  const [, first = '', rest] = /^\/([^/]*)(?:\/(.*))?$/s.exec(path) ?? []
  if (first === '' && !rest) return {}
  if (!rest) return { bucket: first }
  checkKey(rest)
  return { bucket: first, key: rest }
}

/** Throws where no object can be called so. */
export function checkKey(key: string): void {
  if (Buffer.byteLength(key) > LONGEST_KEY) throw new S3Error('KeyTooLongError')
  if (key.includes('\0')) throw new S3Error('InvalidArgument', 'A key does not hold the character U+0000')
}

function parameters(query: string): [string, string][] {
  return query
    .split('&')
    .filter((one) => one !== '')
    .map((one) => {
      const at = one.indexOf('=')
      return at === -1 ? [parameter(one), ''] : [parameter(one.slice(0, at)), parameter(one.slice(at + 1))]
    })
}

/** In queries a plus is a space, in paths it is a plus. */
function parameter(text: string): string {
  const decoded = decodeUri(text.replaceAll('+', ' '))
  if (decoded.length > LONGEST_PARAMETER || decoded.includes('\0')) throw new S3Error('InvalidURI')
  return decoded
}
