import { isManaged, isVisible } from '../../storage/bucket-access.js'
import { bucketNameFault } from '../../storage/bucket-name.js'
import { type S3Code, S3Error } from '../s3.errors.js'
import { bucketOf, type S3Answer, type S3Call } from '../s3-call.js'

export const REGION = 'us-east-1'

export async function listBuckets({ store, caller }: S3Call): Promise<S3Answer> {
  const buckets = (await store.listBuckets()).filter(({ name }) => isVisible(caller, name))
  const Bucket = buckets.map(({ name, createdAt }) => ({ Name: name, CreationDate: createdAt.toISOString() }))
  return { xml: { root: 'ListAllMyBucketsResult', content: { Owner: owner(caller), Buckets: { Bucket } } } }
}

export async function createBucket(call: S3Call): Promise<S3Answer> {
  const bucket = bucketOf(call)
  if (bucketNameFault(bucket)) throw new S3Error('InvalidBucketName', undefined, { BucketName: bucket })
  if (isManaged(bucket)) throw new S3Error('AccessDenied')
  // Wherever it is wanted, it is here.
  if (Number(call.request.headers.get('content-length') ?? 0) > 0) await call.body(65_536)
  await call.store.createBucket(bucket, {
    within: (tx) => call.audit(tx, { action: 'bucket.create', resource: ['bucket', bucket], after: { name: bucket } }),
  })
  return { headers: { Location: `/${bucket}` } }
}

export async function headBucket(call: S3Call): Promise<S3Answer> {
  await call.store.requireBucket(bucketOf(call))
  return { headers: { 'x-amz-bucket-region': REGION } }
}

export async function deleteBucket(call: S3Call): Promise<S3Answer> {
  const bucket = bucketOf(call)
  await call.store.deleteBucket(bucket, {
    force: false,
    within: (tx) => call.audit(tx, { action: 'bucket.delete', resource: ['bucket', bucket], before: { name: bucket } }),
  })
  return { status: 204 }
}

export async function getBucketLocation(call: S3Call): Promise<S3Answer> {
  await call.store.requireBucket(bucketOf(call))
  // The first region is told as none.
  return { xml: { root: 'LocationConstraint', content: '' } }
}

type Answers = Readonly<Record<string, S3Code | { root: string; content: (call: S3Call) => object }>>

/** What a bucket answers for which nothing was ever set up. */
export const BUCKET_SETTINGS: Answers = {
  acl: { root: 'AccessControlPolicy', content: accessControl },
  cors: 'NoSuchCORSConfiguration',
  encryption: 'ServerSideEncryptionConfigurationNotFoundError',
  lifecycle: 'NoSuchLifecycleConfiguration',
  logging: { root: 'BucketLoggingStatus', content: () => ({}) },
  'object-lock': 'ObjectLockConfigurationNotFoundError',
  policy: 'NoSuchBucketPolicy',
  requestPayment: { root: 'RequestPaymentConfiguration', content: () => ({ Payer: 'BucketOwner' }) },
  tagging: 'NoSuchTagSet',
  versioning: { root: 'VersioningConfiguration', content: () => ({}) },
  website: 'NoSuchWebsiteConfiguration',
}

export const OBJECT_SETTINGS: Answers = {
  acl: { root: 'AccessControlPolicy', content: accessControl },
}

export function setting(answers: Answers, name: string): (call: S3Call) => Promise<S3Answer> {
  return async (call) => {
    const { key } = call.request
    if (key === undefined) await call.store.requireBucket(bucketOf(call))
    else await call.store.headObject(bucketOf(call), key)
    const answer = answers[name]
    if (typeof answer === 'string') throw new S3Error(answer, 'The configuration does not exist')
    if (!answer) throw new S3Error('NotImplemented')
    return { xml: { root: answer.root, content: answer.content(call) as Record<string, string> } }
  }
}

function accessControl({ caller }: S3Call): object {
  const Grantee = {
    '@xmlns:xsi': 'http://www.w3.org/2001/XMLSchema-instance',
    '@xsi:type': 'CanonicalUser',
    ...owner(caller),
  }
  return { Owner: owner(caller), AccessControlList: { Grant: { Grantee, Permission: 'FULL_CONTROL' } } }
}

/** Buckets are the tenant's. */
export function owner({ tenantId }: S3Call['caller']): { ID: string; DisplayName: string } {
  return { ID: tenantId, DisplayName: tenantId }
}
