import { createHash, createHmac } from 'node:crypto'
import type { QueryParameters } from '../s3-request.js'
import { encodeUri } from '../uri-encoding.js'

export const ALGORITHM = 'AWS4-HMAC-SHA256'
export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD'
/** SHA-256 of nothing. */
export const EMPTY_SHA256 = createHash('sha256').digest('hex')

/** What a signature counts for: a day, a region and the service. */
export interface CredentialScope {
  /** `YYYYMMDD`. */
  date: string
  region: string
}

/** What is signed of a request. */
export interface CanonicalParts {
  method: string
  /** Encoded. */
  path: string
  query: QueryParameters
  /** Names in lower case, in the order in which they are signed. */
  signedHeaders: readonly string[]
  header(name: string): readonly string[]
  payloadHash: string
}

/**
 * Signature Version 4: HMAC-SHA256, by a key that is derived for a day, over a description of the request that both sides write alike.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
export function canonicalRequest({ method, path, query, signedHeaders, header, payloadHash }: CanonicalParts): string {
  return [
    method,
    path,
    canonicalQuery(query),
    ...signedHeaders.map((name) => `${name}:${header(name).map(tidied).join(',')}`),
    '',
    signedHeaders.join(';'),
    payloadHash,
  ].join('\n')
}

/** Sorted by encoded name, then by encoded value; without the signature itself. */
function canonicalQuery(query: QueryParameters): string {
  return query.entries
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => [encodeUri(name), encodeUri(value)] as const)
    .sort(([a, x], [b, y]) => order(a, b) || order(x, y))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Without white space around it, and with one space where there are several. */
function tidied(value: string): string {
  return value.replace(/[ \t]+/g, ' ').replace(/^ | $/g, '')
}

export function credentialScope({ date, region }: CredentialScope): string {
  return `${date}/${region}/s3/aws4_request`
}

/** `time` is `YYYYMMDDTHHMMSSZ`. Headers are signed as the bytes that were sent. */
export function stringToSign(time: string, scope: CredentialScope, canonical: string): string {
  return [ALGORITHM, time, credentialScope(scope), createHash('sha256').update(canonical, 'latin1').digest('hex')].join(
    '\n',
  )
}

export function signingKey(secret: string, { date, region }: CredentialScope): Buffer {
  const steps = [date, region, 's3', 'aws4_request']
  return steps.reduce<Buffer>((key, step) => hmac(key, step), Buffer.from(`AWS4${secret}`))
}

export function sign(key: Buffer, text: string): string {
  return hmac(key, text).toString('hex')
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

/** `20150830T123600Z`. */
export function signingTime(at: Date): string {
  return at.toISOString().replace(/[-:]|\.\d{3}/g, '')
}
