import type { DomainError } from '../../platform/errors/domain-error.js'
import { PartsOutOfOrder, PartTooSmall } from '../storage/storage.errors.js'

/** A refusal in the words of S3, by whose codes clients decide what to do. */
export class S3Error extends Error {
  override readonly name = 'S3Error'

  constructor(
    readonly code: S3Code,
    message: string = MESSAGES[code] ?? code,
    /** Further elements of the document. */
    readonly more: Readonly<Record<string, string>> = {},
  ) {
    super(message)
  }

  get status(): number {
    return STATUSES[this.code]
  }
}

const STATUSES = {
  AccessDenied: 403,
  AuthorizationHeaderMalformed: 400,
  AuthorizationQueryParametersError: 400,
  BadDigest: 400,
  BadRequest: 400,
  BucketAlreadyOwnedByYou: 409,
  BucketNotEmpty: 409,
  EntityTooLarge: 400,
  EntityTooSmall: 400,
  IncompleteBody: 400,
  InternalError: 500,
  InvalidAccessKeyId: 403,
  InvalidArgument: 400,
  InvalidBucketName: 400,
  InvalidDigest: 400,
  InvalidPart: 400,
  InvalidPartOrder: 400,
  InvalidRange: 416,
  InvalidRequest: 400,
  InvalidTag: 400,
  InvalidToken: 400,
  InvalidURI: 400,
  KeyTooLongError: 400,
  MalformedXML: 400,
  MaxMessageLengthExceeded: 400,
  MetadataTooLarge: 400,
  MethodNotAllowed: 405,
  MissingContentLength: 411,
  NoSuchBucket: 404,
  NoSuchBucketPolicy: 404,
  NoSuchCORSConfiguration: 404,
  NoSuchKey: 404,
  NoSuchLifecycleConfiguration: 404,
  NoSuchTagSet: 404,
  NoSuchUpload: 404,
  NoSuchWebsiteConfiguration: 404,
  NotImplemented: 501,
  ObjectLockConfigurationNotFoundError: 404,
  PreconditionFailed: 412,
  // Ceph's; Amazon has none.
  QuotaExceeded: 403,
  RequestTimeTooSkewed: 403,
  ServerSideEncryptionConfigurationNotFoundError: 404,
  ServiceUnavailable: 503,
  SignatureDoesNotMatch: 403,
  SlowDown: 503,
  XAmzContentChecksumMismatch: 400,
  XAmzContentSHA256Mismatch: 400,
} as const

export type S3Code = keyof typeof STATUSES

const MESSAGES: Partial<Record<S3Code, string>> = {
  AccessDenied: 'Access Denied',
  BadDigest: 'The Content-MD5 that you specified did not match what was received',
  BucketAlreadyOwnedByYou: 'The bucket is there already, and it is yours',
  BucketNotEmpty: 'The bucket that you tried to delete is not empty',
  EntityTooLarge: 'Your upload exceeds the size that an object may have',
  EntityTooSmall: 'Your upload is smaller than a part other than the last may be',
  IncompleteBody: 'The body does not have the length that its headers say',
  InternalError: 'The request failed for a reason of ours',
  InvalidAccessKeyId: 'The access key id that you provided is not known here',
  InvalidBucketName: 'The bucket name is not valid',
  InvalidDigest: 'The Content-MD5 that you specified is not valid',
  InvalidPart: 'A part could not be found, or its entity tag is another',
  InvalidPartOrder: 'The list of parts was not in ascending order',
  InvalidRange: 'The requested range cannot be satisfied',
  InvalidToken: 'The provided token is malformed or otherwise invalid',
  InvalidURI: 'The path or the query could not be parsed',
  KeyTooLongError: 'Your key is too long',
  MalformedXML: 'The XML that you provided was not well formed, or not what is wanted here',
  MaxMessageLengthExceeded: 'Your request was too big',
  MetadataTooLarge: 'Your metadata headers exceed the size that metadata may have',
  MethodNotAllowed: 'The method is not allowed against this resource',
  MissingContentLength: 'You must provide the Content-Length',
  NoSuchBucket: 'The bucket does not exist',
  NoSuchKey: 'The key does not exist',
  NoSuchUpload: 'The upload does not exist: its id is not valid, or it was aborted or completed',
  PreconditionFailed: 'At least one of the preconditions that you specified did not hold',
  RequestTimeTooSkewed: 'The difference between the request time and the current time is too large',
  ServiceUnavailable: 'Something that the answer needs is not available for now',
  SignatureDoesNotMatch:
    'The signature that was calculated here does not match the one that you provided. Check your key and how you sign',
  SlowDown: 'Please reduce your request rate',
  XAmzContentSHA256Mismatch: 'The x-amz-content-sha256 that you specified did not match what was received',
}

/** What S3 calls the faults of the store and of the platform, by their slugs. */
const BY_SLUG: Readonly<Record<string, S3Code>> = {
  'bucket-not-found': 'NoSuchBucket',
  'bucket-exists': 'BucketAlreadyOwnedByYou',
  'bucket-not-empty': 'BucketNotEmpty',
  'object-not-found': 'NoSuchKey',
  'object-exists': 'PreconditionFailed',
  'storage-quota-exceeded': 'QuotaExceeded',
  'size-mismatch': 'IncompleteBody',
  'upload-not-found': 'NoSuchUpload',
  'upload-parts-invalid': 'InvalidPart',
}

const BY_KIND: Partial<Record<DomainError['kind'], S3Code>> = {
  invalid: 'InvalidArgument',
  unprocessable: 'InvalidArgument',
  key_reused: 'InvalidArgument',
  unauthenticated: 'AccessDenied',
  forbidden: 'AccessDenied',
  not_found: 'NoSuchKey',
  precondition_failed: 'PreconditionFailed',
  too_large: 'EntityTooLarge',
  range_not_satisfiable: 'InvalidRange',
  rate_limited: 'SlowDown',
  not_supported: 'NotImplemented',
  unavailable: 'ServiceUnavailable',
  insufficient_storage: 'QuotaExceeded',
}

/** Three faults of one slug, of which S3 tells each by its own code. */
function partsFault(error: DomainError): S3Code | undefined {
  if (error instanceof PartTooSmall) return 'EntityTooSmall'
  return error instanceof PartsOutOfOrder ? 'InvalidPartOrder' : undefined
}

const IN_OUR_WORDS: ReadonlySet<S3Code> = new Set(['InvalidArgument', 'EntityTooLarge', 'QuotaExceeded'])

/** An error of the product, as S3 says it. What has no word of S3's is an internal error. */
export function asS3Error(error: DomainError): S3Error {
  const code = partsFault(error) ?? BY_SLUG[error.slug] ?? BY_KIND[error.kind] ?? 'InternalError'
  return new S3Error(code, IN_OUR_WORDS.has(code) ? error.message : undefined)
}
