import { QueryParameters, S3_PATH } from '../s3-request.js'
import { encodePath, encodeUri } from '../uri-encoding.js'
import {
  ALGORITHM,
  type CredentialScope,
  canonicalRequest,
  credentialScope,
  sign,
  signingKey,
  signingTime,
  stringToSign,
  UNSIGNED_PAYLOAD,
} from './signing.js'

/** A request to be made by whoever has its URL. */
export interface PresignedRequest {
  method: 'GET' | 'PUT'
  /** Scheme and host, such as `https://flows.example.com`. */
  origin: string
  bucket: string
  key: string
  /** Seconds. */
  expiresIn: number
  /** Further parameters, such as `response-content-disposition`. */
  parameters?: Readonly<Record<string, string>>
}

/** The URL, signed as any client would sign it. */
export function presign(
  { method, origin, bucket, key, expiresIn, parameters = {} }: PresignedRequest,
  { accessKey, secret }: { accessKey: string; secret: string },
  now: Date,
): string {
  const { host } = new URL(origin)
  const time = signingTime(now)
  const scope: CredentialScope = { date: time.slice(0, 8), region: 'us-east-1' }
  const path = S3_PATH + encodePath(`/${bucket}/${key}`)
  const query = new QueryParameters([
    ...Object.entries(parameters),
    ['X-Amz-Algorithm', ALGORITHM],
    ['X-Amz-Credential', `${accessKey}/${credentialScope(scope)}`],
    ['X-Amz-Date', time],
    ['X-Amz-Expires', String(expiresIn)],
    ['X-Amz-SignedHeaders', 'host'],
  ])
  const canonical = canonicalRequest({
    method,
    path,
    query,
    signedHeaders: ['host'],
    header: () => [host],
    payloadHash: UNSIGNED_PAYLOAD,
  })
  const signature = sign(signingKey(secret, scope), stringToSign(time, scope, canonical))
  const pairs = [...query.entries, ['X-Amz-Signature', signature] as const]
  return `${origin}${literal(path)}?${pairs.map(([name, value]) => `${encodeUri(name)}=${encodeUri(value)}`).join('&')}`
}

/** Browsers resolve segments of dots before they ask; of an encoded slash they make nothing. Both say the same key. */
function literal(path: string): string {
  if (!/\/\.{1,2}(\/|$)/.test(path)) return path
  return S3_PATH + path.slice(S3_PATH.length).replace(/(?!^)\//g, '%2F')
}
