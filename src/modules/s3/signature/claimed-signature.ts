import { S3Error } from '../s3.errors.js'
import type { S3Request } from '../s3-request.js'
import { ALGORITHM, type CredentialScope, signingTime } from './signing.js'

/** What a request says of its signature; nothing of it is checked against a key yet. */
export interface ClaimedSignature {
  accessKey: string
  scope: CredentialScope
  signedHeaders: readonly string[]
  signature: string
  /** `YYYYMMDDTHHMMSSZ`, as it is signed. */
  time: string
  at: Date
  /** Seconds that it counts from `at` on: of a presigned URL. */
  expiresIn?: number
}

const CREDENTIAL = /^([^/\s]{1,200})\/(\d{8})\/([A-Za-z0-9-]{1,64})\/s3\/aws4_request$/
const SIGNED_HEADERS = /^[!#$%&'*+.^_`|~a-z0-9-]+(;[!#$%&'*+.^_`|~a-z0-9-]+)*$/
const SIGNATURE = /^[0-9a-f]{64}$/
const TIME = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/

/** A week. */
const LONGEST_EXPIRY_S = 604_800

/** Throws where there is none, or none that could be right: requests of nobody are refused here. */
export function claimedSignature(request: S3Request): ClaimedSignature {
  const header = request.headers.get('authorization')
  const byQuery = request.query.has('X-Amz-Algorithm') || request.query.has('X-Amz-Signature')
  if (header !== undefined && byQuery) throw new S3Error('InvalidArgument', 'Only one way to authenticate is allowed')
  if (request.headers.get('x-amz-security-token') ?? request.query.get('X-Amz-Security-Token'))
    throw new S3Error('InvalidToken')
  if (header !== undefined) return inHeader(header, request)
  if (byQuery) return inQuery(request)
  if (request.query.has('AWSAccessKeyId')) throw otherMechanism()
  throw new S3Error('AccessDenied')
}

function inHeader(header: string, { headers }: S3Request): ClaimedSignature {
  const [, algorithm, rest = ''] = /^(\S+)\s+(.*)$/s.exec(header) ?? []
  if (algorithm !== ALGORITHM) throw otherMechanism()
  const parts = new Map(
    rest.split(',').map((part): [string, string] => {
      const [name = '', ...value] = part.trim().split('=')
      return [name, value.join('=')]
    }),
  )
  const time = headers.get('x-amz-date') ?? timeOfDate(headers.get('date'))
  if (time === undefined) throw new S3Error('AccessDenied', 'A signed request needs a valid Date or x-amz-date header')
  return {
    ...claimed('AuthorizationHeaderMalformed', {
      credential: parts.get('Credential'),
      signedHeaders: parts.get('SignedHeaders'),
      signature: parts.get('Signature'),
      time,
    }),
  }
}

function inQuery({ query }: S3Request): ClaimedSignature {
  if (query.get('X-Amz-Algorithm') !== ALGORITHM)
    throw new S3Error('AuthorizationQueryParametersError', `X-Amz-Algorithm only supports "${ALGORITHM}"`)
  const expires = query.get('X-Amz-Expires') ?? ''
  const expiresIn = Number(expires)
  if (!/^\d{1,9}$/.test(expires) || expiresIn < 1 || expiresIn > LONGEST_EXPIRY_S)
    throw new S3Error(
      'AuthorizationQueryParametersError',
      `X-Amz-Expires must be from 1 to ${LONGEST_EXPIRY_S} seconds`,
    )
  const parts = {
    credential: query.get('X-Amz-Credential'),
    signedHeaders: query.get('X-Amz-SignedHeaders'),
    signature: query.get('X-Amz-Signature'),
    time: query.get('X-Amz-Date'),
  }
  return { ...claimed('AuthorizationQueryParametersError', parts), expiresIn }
}

interface Parts {
  credential?: string
  signedHeaders?: string
  signature?: string
  time?: string
}

function claimed(
  fault: 'AuthorizationHeaderMalformed' | 'AuthorizationQueryParametersError',
  { credential = '', signedHeaders = '', signature = '', time = '' }: Parts,
): ClaimedSignature {
  const [, accessKey, date, region] = CREDENTIAL.exec(credential) ?? []
  if (accessKey === undefined || date === undefined || region === undefined)
    throw new S3Error(fault, 'The credential must be <access key>/YYYYMMDD/REGION/s3/aws4_request')
  if (!SIGNED_HEADERS.test(signedHeaders)) throw new S3Error(fault, 'The signed headers are malformed')
  if (!SIGNATURE.test(signature)) throw new S3Error(fault, 'The signature is malformed')
  const at = timeOf(time)
  if (!at) throw new S3Error(fault, 'The date must be in the ISO 8601 basic format YYYYMMDDTHHMMSSZ')
  if (!time.startsWith(date)) throw new S3Error(fault, 'The date of the credential is not that of the request')
  return { accessKey, scope: { date, region }, signedHeaders: signedHeaders.split(';'), signature, time, at }
}

function timeOf(text: string): Date | undefined {
  const at = new Date(text.replace(TIME, '$1-$2-$3T$4:$5:$6Z'))
  return Number.isNaN(at.getTime()) || signingTime(at) !== text ? undefined : at
}

function timeOfDate(header: string | undefined): string | undefined {
  const at = new Date(header ?? '')
  return Number.isNaN(at.getTime()) ? undefined : signingTime(at)
}

function otherMechanism(): S3Error {
  return new S3Error(
    'InvalidRequest',
    `The authorization mechanism that you have provided is not supported. Please use ${ALGORITHM}`,
  )
}
