import { createHash } from 'node:crypto'
import type { EmbeddedObjectInfo } from '../../storage/embedded/embedded-objects.js'
import { UploadNotFound } from '../../storage/storage.errors.js'
import { putConditions, tag } from '../conditions.js'
import { checksumElements, compositeChecksum, partsChecksum } from '../object-checksums.js'
import { attributesOf } from '../object-headers.js'
import { S3Error } from '../s3.errors.js'
import { auditedObject, bucketOf, countOf, objectOf, type S3Answer, type S3Call, xmlOf } from '../s3-call.js'
import { owner } from './buckets.js'
import { encodingOf } from './list-objects.js'

const MOST_PARTS = 10_000
const PAGE = 1_000

/** Which upload is meant, and which of its parts. */
export function uploadOf(call: S3Call) {
  const { query } = call.request
  const number = query.get('partNumber') ?? ''
  const upload = { ...objectOf(call), id: query.get('uploadId') ?? '' }
  if (query.has('partNumber') && !(/^\d{1,5}$/.test(number) && Number(number) >= 1 && Number(number) <= MOST_PARTS))
    throw new S3Error('InvalidArgument', `Part number must be an integer between 1 and ${MOST_PARTS}, inclusive`)
  return { upload, number: Number(number) }
}

export async function createMultipartUpload(call: S3Call): Promise<S3Answer> {
  const { bucket, key } = objectOf(call)
  const parts = partsChecksum(call.request)
  const id = await call.store.uploads.create(bucket, key, { ...attributesOf(call.request), ...parts })
  const { checksumAlgorithm: algorithm } = parts
  const headers = algorithm && {
    'x-amz-checksum-algorithm': algorithm.toUpperCase(),
    'x-amz-checksum-type': 'COMPOSITE',
  }
  return {
    ...(headers && { headers }),
    xml: { root: 'InitiateMultipartUploadResult', content: { Bucket: bucket, Key: key, UploadId: id } },
  }
}

export async function uploadPart(call: S3Call): Promise<S3Answer> {
  const { upload, number } = uploadOf(call)
  const { stream, size, checksums } = call.payload()
  const { etag } = await call.store.uploads.putPart(upload, number, stream, {
    size,
    checksum: (algorithm) => checksums[`x-amz-checksum-${algorithm}`],
  })
  return { headers: { ETag: `"${etag}"`, ...checksums } }
}

export async function completeMultipartUpload(call: S3Call): Promise<S3Answer> {
  const { upload } = uploadOf(call)
  const document = await xmlOf(call, 'CompleteMultipartUpload')
  const parts = document.all('Part').map((part) => ({
    number: Number(part.text('PartNumber') ?? Number.NaN),
    etag: tag(part.text('ETag') ?? ''),
  }))
  if (parts.length === 0 || parts.length > MOST_PARTS || parts.some(({ number }) => !Number.isInteger(number)))
    throw new S3Error('MalformedXML')
  const within = auditedObject(call, 'object.put', upload)
  const conditions = putConditions(call.request)
  const info = await call.store.uploads
    .complete(upload, parts, { ...conditions, within, composite: compositeChecksum })
    .catch((error) => completedBefore(call, parts, error))
  const { bucket, key } = upload
  const content = {
    Location: `/${bucket}/${key}`,
    Bucket: bucket,
    Key: key,
    ETag: `"${info.etag}"`,
    ...checksumElements(info),
  }
  return { xml: { root: 'CompleteMultipartUploadResult', content } }
}

/** Whoever asks again because the first answer was lost gets it, as long as the object is the one that these parts make. */
async function completedBefore(
  call: S3Call,
  parts: readonly { etag: string }[],
  error: unknown,
): Promise<EmbeddedObjectInfo> {
  if (!(error instanceof UploadNotFound) || parts.some(({ etag }) => !/^[0-9a-f]{32}$/.test(etag))) throw error
  const sum = createHash('md5')
  for (const { etag } of parts) sum.update(etag, 'hex')
  const { bucket, key } = objectOf(call)
  const found = await call.store.headObject(bucket, key).catch(() => undefined)
  if (found?.etag !== `${sum.digest('hex')}-${parts.length}`) throw error
  return found
}

export async function abortMultipartUpload(call: S3Call): Promise<S3Answer> {
  await call.store.uploads.abort(uploadOf(call).upload)
  return { status: 204 }
}

export async function listParts(call: S3Call): Promise<S3Answer> {
  const { upload } = uploadOf(call)
  const after = countOf(call, 'part-number-marker', MOST_PARTS)
  const marker = call.request.query.has('part-number-marker') ? after : 0
  const limit = Math.max(1, countOf(call, 'max-parts', PAGE))
  const encoded = encodingOf(call)
  const { parts, isLast } = await call.store.uploads.parts(upload, { after: marker, limit })
  const content = {
    Bucket: upload.bucket,
    Key: encoded(upload.key),
    UploadId: upload.id,
    Initiator: owner(call.caller),
    Owner: owner(call.caller),
    StorageClass: 'STANDARD',
    PartNumberMarker: marker,
    NextPartNumberMarker: parts.at(-1)?.number ?? marker,
    MaxParts: limit,
    IsTruncated: !isLast,
    Part: parts.map(({ number, lastModified, etag, size }) => ({
      PartNumber: number,
      LastModified: lastModified.toISOString(),
      ETag: `"${etag}"`,
      Size: size,
    })),
  }
  return { xml: { root: 'ListPartsResult', content } }
}

export async function listMultipartUploads(call: S3Call): Promise<S3Answer> {
  const bucket = bucketOf(call)
  const { query } = call.request
  if (query.get('delimiter')) throw new S3Error('NotImplemented', 'Uploads are not listed by folders')
  const [prefix, key, id] = ['prefix', 'key-marker', 'upload-id-marker'].map((name) => query.get(name) ?? '') as [
    string,
    string,
    string,
  ]
  const limit = Math.max(1, countOf(call, 'max-uploads', PAGE))
  const encoded = encodingOf(call)
  await call.store.requireBucket(bucket)
  const after = key === '' ? undefined : { key, ...(id !== '' && { id }) }
  const { uploads, isLast } = await call.store.uploads.list(bucket, { prefix, after, limit })
  const last = uploads.at(-1)
  const content = {
    Bucket: bucket,
    KeyMarker: encoded(key),
    UploadIdMarker: id,
    ...(!isLast && last && { NextKeyMarker: encoded(last.key), NextUploadIdMarker: last.id }),
    Prefix: encoded(prefix),
    ...(query.has('encoding-type') && { EncodingType: 'url' }),
    MaxUploads: limit,
    IsTruncated: !isLast,
    Upload: uploads.map((one) => ({
      Key: encoded(one.key),
      UploadId: one.id,
      Initiator: owner(call.caller),
      Owner: owner(call.caller),
      StorageClass: 'STANDARD',
      Initiated: one.begunAt.toISOString(),
    })),
  }
  return { xml: { root: 'ListMultipartUploadsResult', content } }
}
