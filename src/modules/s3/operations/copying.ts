import { isVisible } from '../../storage/bucket-access.js'
import { BucketNotFound } from '../../storage/storage.errors.js'
import { putConditions, requireSource, sourceMatch } from '../conditions.js'
import { attributesOf, said } from '../object-headers.js'
import { replacesTags } from '../object-tags.js'
import { S3Error } from '../s3.errors.js'
import { auditedObject, objectOf, type S3Answer, type S3Call } from '../s3-call.js'
import { checkKey } from '../s3-request.js'
import { decodeUri } from '../uri-encoding.js'
import { uploadOf } from './uploads.js'

export async function copyObject(call: S3Call): Promise<S3Answer> {
  const to = objectOf(call)
  const from = sourceOf(call)
  const replaces = directiveOf(call) === 'REPLACE'
  if (!replaces && from.bucket === to.bucket && from.key === to.key) {
    throw new S3Error(
      'InvalidRequest',
      'This copy request is illegal because it is trying to copy an object to itself without changing its metadata',
    )
  }
  const attributes = attributesOf(call.request)
  const tags = replacesTags(call.request) ? attributes.tags : undefined
  requireSource(call.request, await call.store.headObject(from.bucket, from.key))
  const info = await call.store.copyObject(from, to, {
    ...(replaces && { attributes }),
    ...(tags && { tags }),
    ...putConditions(call.request),
    ...sourceMatch(call.request),
    within: auditedObject(call, 'object.copy', to),
  })
  return copied('CopyObjectResult', info)
}

export async function uploadPartCopy(call: S3Call): Promise<S3Answer> {
  const { upload, number } = uploadOf(call)
  const from = sourceOf(call)
  const info = await call.store.headObject(from.bucket, from.key)
  requireSource(call.request, info)
  const range = sourceRange(call, info.size)
  const { stream, info: read } = await call.store.getObject(from.bucket, from.key, { range })
  if (read.etag !== info.etag) {
    stream.destroy()
    throw new S3Error('PreconditionFailed')
  }
  return copied('CopyPartResult', await call.store.uploads.putPart(upload, number, stream))
}

function copied(root: string, { etag, lastModified }: { etag: string; lastModified: Date }): S3Answer {
  return { xml: { root, content: { LastModified: lastModified.toISOString(), ETag: `"${etag}"` } } }
}

/** `/bucket/key`, with or without the slash, encoded. Throws where the caller cannot know of it. */
function sourceOf({ request, caller }: S3Call): { bucket: string; key: string } {
  const header = said(request, 'x-amz-copy-source') ?? ''
  const [path = '', version] = header.split('?')
  const decoded = decodeUri(path).replace(/^\//, '')
  const at = decoded.indexOf('/')
  const [bucket, key] = [decoded.slice(0, at), decoded.slice(at + 1)]
  const isVersion = version !== undefined && version !== 'versionId=null'
  if (at < 1 || key === '' || isVersion)
    throw new S3Error('InvalidArgument', 'Copy Source must mention the source bucket and key: sourcebucket/sourcekey')
  checkKey(key)
  if (!isVisible(caller, bucket)) throw new BucketNotFound(bucket)
  return { bucket, key }
}

function directiveOf({ request }: S3Call): string {
  const directive = said(request, 'x-amz-metadata-directive') ?? 'COPY'
  if (directive !== 'COPY' && directive !== 'REPLACE')
    throw new S3Error('InvalidArgument', 'Unknown metadata directive.')
  return directive
}

function sourceRange({ request }: S3Call, size: number): { first: number; last: number } | undefined {
  const header = said(request, 'x-amz-copy-source-range')
  if (header === undefined) return undefined
  const [, first = '', last = ''] = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(header) ?? []
  if (first === '' || Number(last) < Number(first) || Number(last) >= size)
    throw new S3Error(
      'InvalidArgument',
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
    )
  return { first: Number(first), last: Number(last) }
}
