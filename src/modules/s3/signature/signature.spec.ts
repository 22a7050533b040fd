import { createHash } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import { describe, expect, it } from 'vitest'
import { awsChunked, SignatureChain } from '../body/aws-chunked.js'
import { S3Error } from '../s3.errors.js'
import { readRequest } from '../s3-request.js'
import { Sha256 } from '../s3-wire.fake.js'
import { encodePath } from '../uri-encoding.js'
import { checkSignature, checkTime } from './check-signature.js'
import { claimedSignature } from './claimed-signature.js'
import { presign } from './presign.js'
import { EMPTY_SHA256 } from './signing.js'

/** The examples of AWS's own documentation: its key, its day, its bucket. */
const KEY = { accessKey: 'AKIAIOSFODNN7EXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' }
const DAY = new Date('2013-05-24T00:00:00Z')
const SCOPE = 'AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request'

function request(method: string, url: string, headers: Record<string, string | string[]>) {
  const rawHeaders = Object.entries(headers).flatMap(([name, values]) => [values].flat().flatMap((one) => [name, one]))
  return readRequest({ method, url: `/s3${url}`, rawHeaders })
}

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'nothing'
  } catch (error) {
    return error instanceof S3Error ? error.code : String(error)
  }
}

function checked(...args: Parameters<typeof request>) {
  const asked = request(...args)
  return checkSignature(asked, claimedSignature(asked), KEY.secret)
}

const documented: [string, string, string, Record<string, string>, string[], string][] = [
  [
    'a ranged GET',
    'GET',
    '/test.txt',
    { range: 'bytes=0-9', 'x-amz-content-sha256': EMPTY_SHA256 },
    ['host', 'range', 'x-amz-content-sha256', 'x-amz-date'],
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  ],
  [
    'a PUT',
    'PUT',
    '/test$file.text',
    {
      date: 'Fri, 24 May 2013 00:00:00 GMT',
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
      'x-amz-content-sha256': '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
    },
    ['date', 'host', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-storage-class'],
    '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  ],
  [
    'a parameter without a value',
    'GET',
    '/?lifecycle',
    { 'x-amz-content-sha256': EMPTY_SHA256 },
    ['host', 'x-amz-content-sha256', 'x-amz-date'],
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  ],
  [
    'parameters',
    'GET',
    '/?prefix=J&max-keys=2',
    { 'x-amz-content-sha256': EMPTY_SHA256 },
    ['host', 'x-amz-content-sha256', 'x-amz-date'],
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  ],
]

describe("AWS's own examples", () => {
  it.each(documented)('%s', (_, method, url, headers, signed, signature) => {
    const authorization = `AWS4-HMAC-SHA256 Credential=${SCOPE},SignedHeaders=${signed.join(';')},Signature=${signature}`
    const sent = { host: 'examplebucket.s3.amazonaws.com', 'x-amz-date': '20130524T000000Z', ...headers, authorization }
    expect(checked(method, url, sent).presigned).toBe(false)
    expect(codeOf(() => checked(method, url, { ...sent, host: 'examplebucket.s3.amazonaws.org' }))).toBe(
      'SignatureDoesNotMatch',
    )
    expect(codeOf(() => checked(method, url.replace('t', 'u').replace('l', 'm').replace('J', 'K'), sent))).toBe(
      'SignatureDoesNotMatch',
    )
  })

  it('a presigned URL', () => {
    const url = `/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(SCOPE)}&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404`
    const host = 'examplebucket.s3.amazonaws.com'
    expect(checked('GET', url, { host })).toMatchObject({ presigned: true, payloadHash: 'UNSIGNED-PAYLOAD' })
    expect(codeOf(() => checked('GET', url.replace('86400', '86401'), { host }))).toBe('SignatureDoesNotMatch')
    expect(codeOf(() => checked('PUT', url, { host }))).toBe('SignatureDoesNotMatch')
    expect(codeOf(() => checked('GET', url, { host, 'x-amz-acl': 'public-read' }))).toBe('AccessDenied')
  })

  it('a body that is signed in chunks', async () => {
    const sent = {
      host: 's3.amazonaws.com',
      'x-amz-date': '20130524T000000Z',
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
      'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
      'content-encoding': 'aws-chunked',
      'x-amz-decoded-content-length': '66560',
      'content-length': '66824',
      authorization: `AWS4-HMAC-SHA256 Credential=${SCOPE},SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9`,
    }
    const { claimed, key } = checked('PUT', '/examplebucket/chunkObject.txt', sent)
    const body = (first: string) =>
      [
        `10000;chunk-signature=${first}`,
        'a'.repeat(65536),
        '400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
        'a'.repeat(1024),
        '0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
        '',
        '',
      ].join('\r\n')
    const decode = (text: string) =>
      textOf(
        awsChunked(pieces(text, 1000), {
          signatures: new SignatureChain(claimed, key),
          trailers: new Set(),
          told() {},
        }),
      )
    const right = 'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648'
    expect(await decode(body(right))).toBe('a'.repeat(66560))
    const wrong = 'bd80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648'
    await expect(decode(body(wrong))).rejects.toMatchObject({ code: 'SignatureDoesNotMatch' })
    await expect(
      decode(
        body(right)
          .replace('aaab6c6', 'aab6c6')
          .replace(/a\r\n0;/, 'b\r\n0;'),
      ),
    ).rejects.toMatchObject({
      code: 'SignatureDoesNotMatch',
    })
    await expect(decode(body(right).slice(0, -100))).rejects.toBeInstanceOf(S3Error)
  })

  it('a body with a signed trailer', async () => {
    const sent = {
      host: 's3.amazonaws.com',
      'x-amz-date': '20130524T000000Z',
      'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
      authorization: `AWS4-HMAC-SHA256 Credential=${SCOPE},SignedHeaders=host,Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e`,
    }
    const claimed = claimedSignature(request('PUT', '/examplebucket/chunkObject.txt', sent))
    const { key } = checked('GET', documented[0]?.[2] ?? '', {
      host: 'examplebucket.s3.amazonaws.com',
      'x-amz-date': '20130524T000000Z',
      ...documented[0]?.[3],
      authorization: `AWS4-HMAC-SHA256 Credential=${SCOPE},SignedHeaders=${documented[0]?.[4].join(';')},Signature=${documented[0]?.[5]}`,
    })
    const told: string[] = []
    const body = (checksum: string) =>
      [
        '10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
        'a'.repeat(65536),
        '400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
        'a'.repeat(1024),
        '0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
        `x-amz-checksum-crc32c:${checksum}`,
        'x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435',
        '',
        '',
      ].join('\r\n')
    const decode = (text: string) =>
      textOf(
        awsChunked(pieces(text, 7), {
          signatures: new SignatureChain(claimed, key),
          trailers: new Set(['x-amz-checksum-crc32c']),
          told: (name, value) => told.push(name, value),
        }),
      )
    expect(await decode(body('sOO8/Q=='))).toBe('a'.repeat(66560))
    expect(told).toEqual(['x-amz-checksum-crc32c', 'sOO8/Q=='])
    await expect(decode(body('sOO8/A=='))).rejects.toMatchObject({ code: 'SignatureDoesNotMatch' })
  })
})

describe("what AWS's signer signs", () => {
  const signer = new SignatureV4({
    service: 's3',
    region: 'eu-north-7',
    credentials: { accessKeyId: KEY.accessKey, secretAccessKey: KEY.secret },
    sha256: Sha256,
    uriEscapePath: false,
  })
  const hosts = { host: '127.0.0.1:8080', hostname: '127.0.0.1', port: 8080, protocol: 'http:' }

  it.each([
    ['spaces and signs', "a b+c/%2F/..//é~!*'()&=?#;:@$,", {}, {}],
    ['a query to be sorted', 'k', { b: '2', a: '1', 'a-b': '', 'A b': 'x y', é: ['z', 'a=b'] }, {}],
    [
      'headers to be tidied',
      'k',
      {},
      { 'x-amz-meta-note': '  two   spaces\tand a tab ', 'content-type': 'text/plain' },
    ],
    ['a key of nothing but slashes', '////', {}, {}],
  ])('%s', async (_, key, query, headers) => {
    const path = `/s3/bucket/${encodePath(key)}`
    const signed = await signer.sign(
      { ...hosts, method: 'PUT', path, query, headers: { ...headers, host: hosts.host }, body: 'x' },
      { signingDate: DAY },
    )
    const search = Object.entries(query).flatMap(([name, values]) =>
      [values].flat().map((value) => `${encodeURIComponent(name)}=${encodeURIComponent(value as string)}`),
    )
    const raw = request('PUT', `${path.slice(3)}?${search.join('&')}`, signed.headers)
    expect(raw.key).toBe(key)
    expect(checkSignature(raw, claimedSignature(raw), KEY.secret).payloadHash).toBe(
      createHash('sha256').update('x').digest('hex'),
    )
    expect(codeOf(() => checkSignature(raw, claimedSignature(raw), 'another'))).toBe('SignatureDoesNotMatch')
  })

  it('and its presigned URL is ours', async () => {
    const key = 'a b/é+%.txt'
    const asked = { method: 'GET', path: `/s3/bucket/${encodePath(key)}`, headers: { host: hosts.host } }
    const options = { signingDate: DAY, expiresIn: 60, signingRegion: 'us-east-1' }
    const headers = { ...asked.headers, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }
    const theirs = await signer.presign(
      { ...hosts, ...asked, headers, query: { 'response-content-type': 'a/b' } },
      {
        ...options,
        unsignableHeaders: new Set(['x-amz-content-sha256']),
        unhoistableHeaders: new Set(['x-amz-content-sha256']),
      },
    )
    const ours = presign(
      {
        method: 'GET',
        origin: 'http://127.0.0.1:8080',
        bucket: 'bucket',
        key,
        expiresIn: 60,
        parameters: { 'response-content-type': 'a/b' },
      },
      KEY,
      DAY,
    )
    expect(new URL(ours).searchParams.get('X-Amz-Signature')).toBe(theirs.query?.['X-Amz-Signature'])
    const url = new URL(ours)
    expect(checked('GET', (url.pathname + url.search).slice(3), { host: url.host }).presigned).toBe(true)
  })

  it('as s3cmd does, with the path of the service as part of the host', async () => {
    const signed = await signer.sign(
      { ...hosts, method: 'GET', path: '/bucket/k', headers: { host: `${hosts.host}/s3` } },
      { signingDate: DAY },
    )
    const raw = request('GET', '/bucket/k', { ...signed.headers, host: hosts.host })
    expect(checkSignature(raw, claimedSignature(raw), KEY.secret).presigned).toBe(false)
  })
})

describe('what is refused', () => {
  const authorization = `AWS4-HMAC-SHA256 Credential=${SCOPE}, SignedHeaders=host;x-amz-date, Signature=${'0'.repeat(64)}`
  const fine = { host: 'h', 'x-amz-date': '20130524T000000Z', 'x-amz-content-sha256': EMPTY_SHA256, authorization }
  const query = `?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${SCOPE}&X-Amz-Date=20130524T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=${'0'.repeat(64)}`

  it.each([
    ['nobody', '/b', { authorization: [] }, 'AccessDenied'],
    ['another mechanism', '/b', { authorization: 'AWS AKID:sig' }, 'InvalidRequest'],
    ['a bearer', '/b', { authorization: 'Bearer eyJ' }, 'InvalidRequest'],
    ['signature version 2 in the query', '/b?AWSAccessKeyId=a&Signature=b', { authorization: [] }, 'InvalidRequest'],
    ['both ways', `/b${query}`, {}, 'InvalidArgument'],
    ['a session token', '/b', { 'x-amz-security-token': 't' }, 'InvalidToken'],
    [
      'another service',
      '/b',
      { authorization: authorization.replace('/s3/', '/ec2/') },
      'AuthorizationHeaderMalformed',
    ],
    ['another day', '/b', { 'x-amz-date': '20130525T000000Z' }, 'AuthorizationHeaderMalformed'],
    ['no day', '/b', { 'x-amz-date': [] }, 'AccessDenied'],
    ['a day that is none', '/b', { 'x-amz-date': '20131324T000000Z' }, 'AuthorizationHeaderMalformed'],
    ['a signature that is none', '/b', { authorization: authorization.slice(0, -1) }, 'AuthorizationHeaderMalformed'],
    [
      'a week and a second',
      `/b${query.replace('=60', '=604801')}`,
      { authorization: [] },
      'AuthorizationQueryParametersError',
    ],
    ['no time at all', `/b${query.replace('=60', '=0')}`, { authorization: [] }, 'AuthorizationQueryParametersError'],
    ['no payload hash', '/b', { 'x-amz-content-sha256': [] }, 'InvalidRequest'],
    ['an unsigned header', '/b', { 'x-amz-meta-a': '1' }, 'AccessDenied'],
    ['an unsigned host', '/b', { authorization: authorization.replace('host;', '') }, 'AccessDenied'],
    ['a wrong signature', '/b', {}, 'SignatureDoesNotMatch'],
    ['a wrong signature in the query', `/b${query}`, { authorization: [] }, 'SignatureDoesNotMatch'],
  ])('%s', (_, url, headers, code) => {
    expect(codeOf(() => checked('GET', url, { ...fine, ...headers }))).toBe(code)
  })

  it('a time that is too far away', () => {
    const { at } = claimedSignature(request('GET', '/b', fine))
    const claim = claimedSignature(request('GET', '/b', fine))
    const presigned = { ...claim, expiresIn: 60 }
    const later = (seconds: number) => new Date(at.getTime() + seconds * 1000)
    expect(codeOf(() => checkTime(claim, later(899)))).toBe('nothing')
    expect(codeOf(() => checkTime(claim, later(901)))).toBe('RequestTimeTooSkewed')
    expect(codeOf(() => checkTime(claim, later(-901)))).toBe('RequestTimeTooSkewed')
    expect(codeOf(() => checkTime(presigned, later(60)))).toBe('nothing')
    expect(codeOf(() => checkTime(presigned, later(61)))).toBe('AccessDenied')
    expect(codeOf(() => checkTime(presigned, later(-901)))).toBe('AccessDenied')
  })
})

async function* pieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < text.length; at += size) yield Buffer.from(text.slice(at, at + size), 'latin1')
}

async function textOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = []
  for await (const one of bytes) all.push(one)
  return Buffer.concat(all).toString('latin1')
}
