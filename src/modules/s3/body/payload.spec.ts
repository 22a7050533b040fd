import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { QueryParameters, type S3Request, SentHeaders } from '../s3-request.js'
import type { CheckedSignature } from '../signature/check-signature.js'
import { credentialScope, sign, signingKey } from '../signature/signing.js'
import { payloadOf } from './payload.js'

const SIGNATURE = {
  payloadHash: 'UNSIGNED-PAYLOAD',
  presigned: false,
  key: Buffer.alloc(32),
  claimed: {},
} as unknown as CheckedSignature
const TRAILED = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'

function request(headers: Record<string, string>): S3Request {
  return {
    method: 'PUT',
    path: '/b/k',
    query: new QueryParameters([]),
    headers: new SentHeaders(Object.entries(headers).flat()),
  }
}

async function received(
  headers: Record<string, string>,
  body: string,
  payloadHash = SIGNATURE.payloadHash,
  size = 3,
  signature: Partial<CheckedSignature> = {},
) {
  const pieces = body.match(new RegExp(`.{1,${size}}`, 'gs')) ?? []
  const source = Readable.from(
    pieces.map((piece) => Buffer.from(piece, 'latin1')),
    { objectMode: false },
  )
  try {
    const payload = payloadOf(request(headers), source, { ...SIGNATURE, ...signature, payloadHash })
    const chunks: Buffer[] = []
    for await (const chunk of payload.stream) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks).toString('latin1')
  } catch (error) {
    return (error as { code?: string }).code
  }
}

/** The checksums of "123456789", by which CRCs are known, as base64. */
const KNOWN: Record<string, string> = {
  crc32: Buffer.from('cbf43926', 'hex').toString('base64'),
  crc32c: Buffer.from('e3069283', 'hex').toString('base64'),
  crc64nvme: Buffer.from('ae8b14860a799888', 'hex').toString('base64'),
  sha1: createHash('sha1').update('123456789').digest('base64'),
  sha256: createHash('sha256').update('123456789').digest('base64'),
}

describe('a body', () => {
  it('has the length that was said', async () => {
    expect(await received({ 'content-length': '4' }, 'body')).toBe('body')
    expect(await received({ 'content-length': '0' }, '')).toBe('')
    expect(await received({ 'content-length': '5' }, 'body')).toBe('IncompleteBody')
    expect(await received({ 'content-length': '3' }, 'body')).toBe('IncompleteBody')
    expect(await received({}, 'body')).toBe('MissingContentLength')
    expect(await received({ 'content-length': '-1' }, 'body')).toBe('InvalidArgument')
    expect(await received({ 'content-length': String(5 * 2 ** 30 + 1) }, 'body')).toBe('EntityTooLarge')
  })

  it.each(Object.entries(KNOWN))('is held against its %s, in front of it and behind it', async (name, right) => {
    const header = `x-amz-checksum-${name}`
    expect(await received({ 'content-length': '9', [header]: right }, '123456789')).toBe('123456789')
    expect(await received({ 'content-length': '9', [header]: right }, '123456780')).toBe('BadDigest')
    const trailed = { 'x-amz-decoded-content-length': '9', 'x-amz-trailer': header }
    const chunks = (text: string, sum: string) =>
      `4\r\n${text.slice(0, 4)}\r\n5\r\n${text.slice(4)}\r\n0\r\n${header}:${sum}\r\n\r\n`
    for (const size of [1, 2, 1000]) {
      expect(await received(trailed, chunks('123456789', right), TRAILED, size)).toBe('123456789')
      expect(await received(trailed, chunks('123456780', right), TRAILED, size)).toBe('BadDigest')
    }
    expect(await received(trailed, '9\r\n123456789\r\n0\r\n\r\n', TRAILED)).toBe('BadDigest')
  })

  it.each([
    ['no end', '4\r\nbody\r\n', 'IncompleteBody'],
    ['half a chunk', '4\r\nbo', 'IncompleteBody'],
    ['a chunk that is longer than it says', '4\r\nbodyy\r\n0\r\n\r\n', 'IncompleteBody'],
    ['a size that is none', 'zz\r\nbody\r\n0\r\n\r\n', 'IncompleteBody'],
    ['a size without bounds', 'ffffffffffffffff\r\nbody', 'IncompleteBody'],
    ['a line without end', `${'0'.repeat(10_000)}`, 'InvalidRequest'],
    ['a trailer that nobody announced', '4\r\nbody\r\n0\r\nx-amz-meta-a:1\r\n\r\n', 'IncompleteBody'],
    ['more than it was to be', '5\r\nbody!\r\n0\r\n\r\n', 'IncompleteBody'],
    ['less than it was to be', '3\r\nbod\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n', 'IncompleteBody'],
  ])('in chunks is refused with %s', async (_, body, code) => {
    const headers = { 'x-amz-decoded-content-length': '4', 'x-amz-trailer': 'x-amz-checksum-crc32' }
    for (const size of [1, 1000]) expect(await received(headers, body, TRAILED, size)).toBe(code)
  })

  it('may be signed piece by piece', async () => {
    const scope = { date: '20130524', region: 'us-east-1' }
    const claimed = { signature: '0'.repeat(64), time: '20130524T000000Z', scope }
    const key = signingKey('secret', scope)
    const hash = (text: string) => createHash('sha256').update(text).digest('hex')
    let previous = claimed.signature
    const signed = (what: string, ...rest: string[]) => {
      previous = sign(
        key,
        [`AWS4-HMAC-SHA256-${what}`, claimed.time, credentialScope(scope), previous, ...rest].join('\n'),
      )
      return previous
    }
    const chunk = (text: string) =>
      `${text.length.toString(16)};chunk-signature=${signed('PAYLOAD', hash(''), hash(text))}\r\n${text}${text && '\r\n'}`
    const trailer = `x-amz-checksum-sha256:${KNOWN.sha256}`
    const body = [chunk('1234'), chunk('56789'), chunk(''), `${trailer}\r\n`].join('')
    const whole = `${body}x-amz-trailer-signature:${signed('TRAILER', hash(`${trailer}\n`))}\r\n\r\n`
    const headers = { 'x-amz-decoded-content-length': '9', 'x-amz-trailer': 'x-amz-checksum-sha256' }
    const take = (sent: string) =>
      received(headers, sent, 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', 5, { claimed, key } as CheckedSignature)
    expect(await take(whole)).toBe('123456789')
    for (const other of [
      whole.replace('56789', '56780'),
      whole.replace('-sha256:', '-sha256: A'),
      body,
      whole.replace(/;chunk-signature=\w+/, ''),
    ])
      expect(await take(other)).toBe('SignatureDoesNotMatch')
  })

  it('announces trailers that are known', async () => {
    const length = { 'x-amz-decoded-content-length': '4' }
    expect(await received(length, '', TRAILED)).toBe('InvalidRequest')
    expect(await received({ ...length, 'x-amz-trailer': 'x-amz-checksum-md4' }, '', TRAILED)).toBe('InvalidRequest')
    expect(await received({ ...length, 'x-amz-trailer': '__proto__' }, '', TRAILED)).toBe('InvalidRequest')
    expect(await received(length, '', 'STREAMING-UNSIGNED-PAYLOAD')).toBe('InvalidArgument')
    expect(await received(length, '', 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD')).toBe('InvalidArgument')
  })
})
