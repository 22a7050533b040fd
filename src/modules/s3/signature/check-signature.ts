import { timingSafeEqual } from 'node:crypto'
import { S3Error } from '../s3.errors.js'
import { S3_PATH, type S3Request } from '../s3-request.js'
import type { ClaimedSignature } from './claimed-signature.js'
import { canonicalRequest, sign, signingKey, stringToSign, UNSIGNED_PAYLOAD } from './signing.js'

/** How far a client's clock may be from ours. */
const SKEW_MS = 15 * 60_000

/** What a signature that counts says further, for bodies that are signed piece by piece. */
export interface CheckedSignature {
  claimed: ClaimedSignature
  key: Buffer
  /** As signed: a hash, `UNSIGNED-PAYLOAD`, or a way of streaming. */
  payloadHash: string
  /** By `X-Amz-Signature`, not by `Authorization`. */
  presigned: boolean
}

/** Throws where the signature does not count at `now`, before a key is looked for. */
export function checkTime({ at, expiresIn }: ClaimedSignature, now: Date): void {
  const age = now.getTime() - at.getTime()
  if (expiresIn === undefined) {
    if (Math.abs(age) > SKEW_MS) throw new S3Error('RequestTimeTooSkewed')
    return
  }
  if (age < -SKEW_MS) throw new S3Error('AccessDenied', 'Request is not valid yet')
  if (age > expiresIn * 1000) throw new S3Error('AccessDenied', 'Request has expired')
}

/** Throws `SignatureDoesNotMatch` unless `secret` made this signature over this request. */
export function checkSignature(request: S3Request, claimed: ClaimedSignature, secret: string): CheckedSignature {
  const presigned = claimed.expiresIn !== undefined
  const payloadHash = payloadHashOf(request, claimed, presigned)
  requireSigned(request, claimed)
  const key = signingKey(secret, claimed.scope)
  const given = Buffer.from(claimed.signature, 'hex')
  const asSigned = SPELLINGS.map((spelling) => spelled(spelling, request, claimed, payloadHash))
  const matches = asSigned.some(({ text }) => timingSafeEqual(Buffer.from(sign(key, text), 'hex'), given))
  if (matches) return { claimed, key, payloadHash, presigned }
  throw new S3Error('SignatureDoesNotMatch', undefined, {
    AWSAccessKeyId: claimed.accessKey,
    StringToSign: asSigned[0]?.text ?? '',
    SignatureProvided: claimed.signature,
    CanonicalRequest: Buffer.from(asSigned[0]?.canonical ?? '', 'latin1').toString(),
  })
}

/**
 * Clients know that the service is below `/s3` as part of its path, which is as it should be; s3cmd takes it for a part of the host, and
 * a proxy may hide it. Each says the same thing of the same request.
 */
const SPELLINGS: readonly { path: (path: string) => string; host: (host: string) => string }[] = [
  { path: (path) => S3_PATH + path, host: (host) => host },
  { path: (path) => path, host: (host) => host + S3_PATH },
  { path: (path) => path, host: (host) => host },
]

function spelled(
  { path, host }: (typeof SPELLINGS)[number],
  { method, path: below, query, headers }: S3Request,
  { signedHeaders, scope, time }: ClaimedSignature,
  payloadHash: string,
): { text: string; canonical: string } {
  const header = (name: string) => (name === 'host' ? headers.all(name).map(host) : headers.all(name))
  const canonical = canonicalRequest({ method, path: path(below), query, signedHeaders, header, payloadHash })
  return { canonical, text: stringToSign(time, scope, canonical) }
}

/** A presigned URL says nothing of the body unless it does so in what is signed. */
function payloadHashOf({ headers, query }: S3Request, { signedHeaders }: ClaimedSignature, presigned: boolean): string {
  const header = headers.get('x-amz-content-sha256')
  if (presigned) {
    const isSigned = header !== undefined && signedHeaders.includes('x-amz-content-sha256')
    return query.get('X-Amz-Content-Sha256') ?? (isSigned ? header : UNSIGNED_PAYLOAD)
  }
  if (header !== undefined) return header
  throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256')
}

/** What S3 acts upon must be what was signed: nobody on the way may add a header to it. */
function requireSigned({ headers }: S3Request, { signedHeaders }: ClaimedSignature): void {
  const unsigned = [...headers.names()].filter(
    (name) => (name === 'host' || name.startsWith('x-amz-')) && !signedHeaders.includes(name) && !HARMLESS.has(name),
  )
  if (signedHeaders.includes('host') && unsigned.length === 0) return
  throw new S3Error('AccessDenied', 'There were headers present in the request which were not signed', {
    HeadersNotSigned: unsigned.join(', ') || 'host',
  })
}

/** They change nothing but whether the request is right. */
const HARMLESS = new Set(['x-amz-content-sha256', 'x-amz-date'])
