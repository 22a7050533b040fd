import { timingSafeEqual } from 'node:crypto'
import { Readable } from 'node:stream'
import { S3Error } from '../s3.errors.js'
import type { S3Request } from '../s3-request.js'
import type { CheckedSignature } from '../signature/check-signature.js'
import { UNSIGNED_PAYLOAD } from '../signature/signing.js'
import { awsChunked, SignatureChain } from './aws-chunked.js'
import { CHECKSUMS, type Checksum, checksum, hashed } from './checksums.js'

/** What one request may bring. */
const LARGEST = 5 * 2 ** 30

const STREAMING = /^STREAMING-(?<signed>AWS4-HMAC-SHA256-PAYLOAD|UNSIGNED-PAYLOAD)(?<trailer>-TRAILER)?$/

/** The content that a request brings. */
export interface Payload {
  /** Ends with an error unless all that was said of it holds: its length, its hashes, the signatures of its pieces. */
  stream: Readable
  size: number
  /** The checksums that were said of it, by their headers; those that come behind it are here once it has ended. */
  checksums: Readonly<Record<string, string>>
}

interface Check {
  sum: Checksum
  /** Asked for at the end. */
  expected(): Buffer | undefined
  mismatch: S3Error
}

/** Throws where it could not be right; what only its bytes can tell comes with its stream. */
export function payloadOf(request: S3Request, body: Readable, signature: CheckedSignature): Payload {
  const { headers } = request
  const mode = modeOf(signature.payloadHash)
  const size = sizeOf(request, mode.chunked)
  const checksums: Record<string, string> = {}
  const trailers = trailersOf(request, mode.trailer)
  const checks = [
    ...(mode.sha256 === undefined ? [] : [payloadCheck(mode.sha256)]),
    ...md5Check(headers.get('content-md5')),
    ...CHECKSUMS.flatMap((name) => checksumCheck(name, headers.get(`x-amz-checksum-${name}`), checksums)),
    ...[...trailers].flatMap((header) => trailerCheck(header, checksums)),
  ]
  const signatures = mode.signed ? new SignatureChain(signature.claimed, signature.key) : undefined
  const told = (name: string, value: string) => {
    checksums[name] = value
  }
  const bytes = mode.chunked ? awsChunked(body, { signatures, trailers, told }) : body
  return { stream: Readable.from(checked(bytes, size, checks), { objectMode: false }), size, checksums }
}

/** A body that is read whole, of at most `limit` bytes. */
export async function wholePayload(
  request: S3Request,
  body: Readable,
  signature: CheckedSignature,
  limit: number,
): Promise<Buffer> {
  const { stream, size } = payloadOf(request, body, signature)
  if (size > limit) throw new S3Error('MaxMessageLengthExceeded')
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

async function* checked(
  bytes: AsyncIterable<Uint8Array>,
  size: number,
  checks: readonly Check[],
): AsyncGenerator<Uint8Array> {
  let length = 0
  for await (const chunk of bytes) {
    length += chunk.length
    if (length > size) throw new S3Error('IncompleteBody')
    for (const { sum } of checks) sum.update(chunk)
    yield chunk
  }
  if (length < size) throw new S3Error('IncompleteBody')
  for (const { sum, expected, mismatch } of checks) {
    const given = expected()
    const found = await sum.digest()
    if (!given || given.length !== found.length || !timingSafeEqual(given, found)) throw mismatch
  }
}

interface Mode {
  chunked: boolean
  signed: boolean
  trailer: boolean
  sha256?: string
}

function modeOf(payloadHash: string): Mode {
  const whole = { chunked: false, signed: false, trailer: false }
  if (payloadHash === UNSIGNED_PAYLOAD) return whole
  if (/^[0-9a-f]{64}$/.test(payloadHash)) return { ...whole, sha256: payloadHash }
  const { signed, trailer } = STREAMING.exec(payloadHash)?.groups ?? {}
  const isSigned = signed === 'AWS4-HMAC-SHA256-PAYLOAD'
  if (signed === undefined || !(isSigned || trailer))
    throw new S3Error(
      'InvalidArgument',
      'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a way of streaming, or a SHA-256',
    )
  return { chunked: true, signed: isSigned, trailer: trailer !== undefined }
}

function sizeOf({ headers }: S3Request, chunked: boolean): number {
  const text = headers.get(chunked ? 'x-amz-decoded-content-length' : 'content-length')
  if (text === undefined) throw new S3Error('MissingContentLength')
  const size = Number(text)
  if (!/^\d{1,16}$/.test(text)) throw new S3Error('InvalidArgument', 'The length is not a number')
  if (size > LARGEST) throw new S3Error('EntityTooLarge')
  return size
}

function trailersOf({ headers }: S3Request, expected: boolean): ReadonlySet<string> {
  const names = (headers.get('x-amz-trailer') ?? '').toLowerCase().split(',')
  const known = new Set(names.map((name) => name.trim()).filter((name) => name !== ''))
  if (expected && known.size === 0)
    throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-trailer')
  return known
}

function payloadCheck(sha256: string): Check {
  const expected = Buffer.from(sha256, 'hex')
  return { sum: hashed('sha256'), expected: () => expected, mismatch: new S3Error('XAmzContentSHA256Mismatch') }
}

function md5Check(header: string | undefined): Check[] {
  if (header === undefined) return []
  const expected = Buffer.from(header, 'base64')
  if (expected.length !== 16 || expected.toString('base64') !== header) throw new S3Error('InvalidDigest')
  return [{ sum: hashed('md5'), expected: () => expected, mismatch: new S3Error('BadDigest') }]
}

function checksumCheck(name: string, header: string | undefined, checksums: Record<string, string>): Check[] {
  const sum = checksum(name)
  if (header === undefined || !sum) return []
  checksums[`x-amz-checksum-${name}`] = header
  const expected = Buffer.from(header, 'base64')
  if (expected.toString('base64') !== header)
    throw new S3Error('InvalidRequest', `Value for x-amz-checksum-${name} header is invalid.`)
  return [{ sum, expected: () => expected, mismatch: mismatchOf(name) }]
}

function trailerCheck(header: string, checksums: Record<string, string>): Check[] {
  const [, name = ''] = /^x-amz-checksum-(.+)$/.exec(header) ?? []
  const sum = checksum(name)
  if (!sum) throw new S3Error('InvalidRequest', 'The value specified in the x-amz-trailer header is not supported')
  const expected = () => {
    const value = checksums[header]
    return value === undefined ? undefined : Buffer.from(value, 'base64')
  }
  return [{ sum, expected, mismatch: mismatchOf(name) }]
}

function mismatchOf(name: string): S3Error {
  return new S3Error('BadDigest', `The ${name.toUpperCase()} you specified did not match the calculated checksum.`)
}
