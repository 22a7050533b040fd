import { S3Error } from '../s3.errors.js'
import type { S3Answer, S3Call } from '../s3-call.js'
import type { S3Request } from '../s3-request.js'
import * as buckets from './buckets.js'
import * as copying from './copying.js'
import * as lists from './list-objects.js'
import * as objects from './objects.js'
import * as tagging from './tagging.js'
import * as uploads from './uploads.js'

/** One of S3's operations. */
export interface S3Operation {
  /** What it would change, in the words of the audit trail; undefined of one that only reads. */
  action?: string
  serve(call: S3Call): Promise<S3Answer>
}

type Target = 'service' | 'bucket' | 'object'
type Operations = Readonly<Record<string, S3Operation>>

function reads(serve: S3Operation['serve']): S3Operation {
  return { serve }
}

function changes(action: string, serve: S3Operation['serve']): S3Operation {
  return { action, serve }
}

/**
 * By target, method and what the query names besides. A parameter that names something here or in `ELSEWHERE` decides; all others are
 * parameters of the operation.
 */
const OPERATIONS: Readonly<Record<Target, Operations>> = {
  service: { GET: reads(buckets.listBuckets) },
  bucket: {
    GET: reads(lists.listObjects),
    'GET location': reads(buckets.getBucketLocation),
    'GET uploads': reads(uploads.listMultipartUploads),
    ...settings(buckets.BUCKET_SETTINGS),
    HEAD: reads(buckets.headBucket),
    PUT: changes('bucket.create', buckets.createBucket),
    DELETE: changes('bucket.delete', buckets.deleteBucket),
    'POST delete': changes('object.delete', objects.deleteObjects),
  },
  object: {
    GET: reads(objects.getObject),
    'GET attributes': reads(objects.getObjectAttributes),
    'GET uploadId': reads(uploads.listParts),
    ...settings(buckets.OBJECT_SETTINGS),
    'GET tagging': reads(tagging.getObjectTagging),
    'PUT tagging': changes('object.tag', tagging.putObjectTagging),
    'DELETE tagging': changes('object.tag', tagging.deleteObjectTagging),
    HEAD: reads(objects.headObject),
    PUT: changes('object.put', objects.putObject),
    'PUT uploadId': changes('object.put', uploads.uploadPart),
    DELETE: changes('object.delete', objects.deleteObject),
    'DELETE uploadId': changes('upload.abort', uploads.abortMultipartUpload),
    'POST uploads': changes('upload.create', uploads.createMultipartUpload),
    'POST uploadId': changes('object.put', uploads.completeMultipartUpload),
  },
}

const LIST_V2 = reads(lists.listObjectsV2)
const COPY = changes('object.copy', copying.copyObject)
const COPY_PART = changes('object.put', copying.uploadPartCopy)

/** What the query of other operations of S3 names. To answer one of them as something else would be wrong. */
const ELSEWHERE = [
  'abac',
  'accelerate',
  'analytics',
  'annotation',
  'encryption',
  'intelligent-tiering',
  'inventory',
  'legal-hold',
  'metadataConfiguration',
  'metadataTable',
  'metrics',
  'notification',
  'ownershipControls',
  'policyStatus',
  'publicAccessBlock',
  'renameObject',
  'replication',
  'restore',
  'retention',
  'select',
  'session',
  'torrent',
  'versions',
]

const NAMED = new Set([
  ...ELSEWHERE,
  ...Object.values(OPERATIONS).flatMap((known) => Object.keys(known).flatMap((name) => name.split(' ')[1] ?? [])),
])

/** Throws `NotImplemented` where it is one that is not done here, `MethodNotAllowed` where S3 has none. */
export function operationOf({ method, bucket, key, query, headers }: S3Request): S3Operation {
  const target: Target = bucket === undefined ? 'service' : key === undefined ? 'bucket' : 'object'
  const named = query.entries.map(([name]) => name).find((name) => NAMED.has(name))
  const version = query.get('versionId')
  if (version !== undefined && version !== 'null') throw new S3Error('InvalidArgument', 'Invalid version id specified')
  if (method === 'OPTIONS') throw new S3Error('AccessDenied', 'CORS is not enabled for this bucket')
  const operation = OPERATIONS[target][named === undefined ? method : `${method} ${named}`]
  if (!operation) throw new S3Error(METHODS.has(method) && target !== 'service' ? 'NotImplemented' : 'MethodNotAllowed')
  if (target === 'bucket' && operation.serve === lists.listObjects && query.get('list-type') === '2') return LIST_V2
  if (target !== 'object' || method !== 'PUT') return operation
  const copies = headers.get('x-amz-copy-source') !== undefined || query.has('x-amz-copy-source')
  return copies ? (named === 'uploadId' ? COPY_PART : COPY) : operation
}

const METHODS = new Set(['GET', 'HEAD', 'PUT', 'POST', 'DELETE'])

function settings(answers: Parameters<typeof buckets.setting>[0]): Operations {
  return Object.fromEntries(Object.keys(answers).map((name) => [`GET ${name}`, reads(buckets.setting(answers, name))]))
}
