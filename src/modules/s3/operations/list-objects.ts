import type { EmbeddedObjectQuery } from '../../storage/embedded/embedded-objects.js'
import type { ObjectPage } from '../../storage/storage-driver.js'
import { S3Error } from '../s3.errors.js'
import { bucketOf, countOf, type S3Answer, type S3Call } from '../s3-call.js'
import { encodePath } from '../uri-encoding.js'
import type { XmlContent } from '../xml.js'
import { owner } from './buckets.js'

const MOST_KEYS = 1_000

export async function listObjectsV2(call: S3Call): Promise<S3Answer> {
  const { query } = call.request
  const asked = askedOf(call)
  const startAfter = query.get('start-after')
  const continuation = query.get('continuation-token')
  if (continuation === '') throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect')
  const { next, ...page } = await pageOf(call, asked, { startAfter, continuation })
  const content = {
    ...asked.told,
    ...(startAfter !== undefined && { StartAfter: asked.encoded(startAfter) }),
    ...(continuation !== undefined && { ContinuationToken: continuation }),
    ...(next !== undefined && { NextContinuationToken: next }),
    KeyCount: page.objects.length + page.folders.length,
    IsTruncated: next !== undefined,
    ...entries(page, asked, query.get('fetch-owner') === 'true' ? { Owner: owner(call.caller) } : {}),
  }
  return { xml: { root: 'ListBucketResult', content } }
}

/** The older way: it goes on behind a name instead of a token. */
export async function listObjects(call: S3Call): Promise<S3Answer> {
  const asked = askedOf(call)
  const marker = call.request.query.get('marker') ?? ''
  const { next, ...page } = await pageOf(call, asked, marker === '' ? {} : { startAfter: marker })
  const content = {
    ...asked.told,
    Marker: asked.encoded(marker),
    ...(next !== undefined && { NextMarker: asked.encoded(lastOf(page)) }),
    IsTruncated: next !== undefined,
    ...entries(page, asked, { Owner: owner(call.caller) }),
  }
  return { xml: { root: 'ListBucketResult', content } }
}

interface Asked {
  query: Pick<EmbeddedObjectQuery, 'prefix' | 'delimiter' | 'limit'>
  encoded: (text: string) => string
  told: Record<string, XmlContent>
}

function askedOf(call: S3Call): Asked {
  const { query } = call.request
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  const limit = countOf(call, 'max-keys', MOST_KEYS)
  const encoded = encodingOf(call)
  return {
    query: { prefix, delimiter, limit },
    encoded,
    told: {
      Name: bucketOf(call),
      Prefix: encoded(prefix),
      ...(delimiter !== '' && { Delimiter: encoded(delimiter) }),
      MaxKeys: limit,
      ...(query.has('encoding-type') && { EncodingType: 'url' }),
    },
  }
}

/** How the caller wants names in XML, which cannot hold all of them. */
export function encodingOf({ request: { query } }: S3Call): (text: string) => string {
  const type = query.get('encoding-type')
  if (type !== undefined && type !== 'url')
    throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request')
  return type === 'url' ? encodePath : (text) => text
}

async function pageOf(
  call: S3Call,
  { query }: Asked,
  from: Pick<EmbeddedObjectQuery, 'startAfter' | 'continuation'>,
): Promise<ObjectPage> {
  if (query.limit > 0) return await call.store.listObjects(bucketOf(call), { ...query, ...from })
  await call.store.requireBucket(bucketOf(call))
  return { objects: [], folders: [] }
}

function entries({ objects, folders }: ObjectPage, { encoded }: Asked, more: Record<string, XmlContent>) {
  return {
    Contents: objects.map(({ key, lastModified, etag, size }) => ({
      Key: encoded(key),
      LastModified: lastModified.toISOString(),
      ETag: `"${etag}"`,
      Size: size,
      ...more,
      StorageClass: 'STANDARD',
    })),
    CommonPrefixes: folders.map((folder) => ({ Prefix: encoded(folder) })),
  }
}

/** By bytes, as they are listed. */
function lastOf({ objects, folders }: ObjectPage): string {
  const [key = '', folder = ''] = [objects.at(-1)?.key, folders.at(-1)]
  return Buffer.compare(Buffer.from(key), Buffer.from(folder)) > 0 ? key : folder
}
