import type { EmbeddedGetOptions, EmbeddedObjectInfo } from '../../storage/embedded/embedded-objects.js'
import { resolvedRange } from '../../storage/embedded/object-content.js'
import { isWanted, putConditions } from '../conditions.js'
import { checksumElements, checksumHeaders, storedChecksum } from '../object-checksums.js'
import { attributesOf, headersOf, overrides } from '../object-headers.js'
import { S3Error } from '../s3.errors.js'
import { auditedObject, bucketOf, objectOf, type S3Answer, type S3Call, shown, xmlOf } from '../s3-call.js'
import { checkKey } from '../s3-request.js'
import type { XmlContent } from '../xml.js'

type Range = NonNullable<EmbeddedGetOptions['range']>

const MOST_DELETED = 1_000

export async function getObject(call: S3Call): Promise<S3Answer> {
  const { bucket, key } = objectOf(call)
  const range = rangeOf(call) ?? (await partRange(call))
  const { info, stream, range: found } = await call.store.getObject(bucket, key, { range })
  try {
    const answer = answerOf(call, info, found)
    if (answer.status !== 304) return { ...answer, content: stream }
    stream.destroy()
    return answer
  } catch (error) {
    stream.destroy()
    throw error
  }
}

export async function headObject(call: S3Call): Promise<S3Answer> {
  const { bucket, key } = objectOf(call)
  const info = await call.store.headObject(bucket, key)
  const range = rangeOf(call) ?? (await partRange(call))
  return answerOf(call, info, resolvedRange(range, info.size))
}

function answerOf(call: S3Call, info: EmbeddedObjectInfo, range?: { first: number; last: number }): S3Answer {
  const headers = { ...headersOf(info), ...overrides(call, info.headers) }
  if (!isWanted(call.request, info)) return { status: 304, headers }
  const parts = call.request.query.has('partNumber') && /-\d+$/.test(info.etag)
  if (parts) headers['x-amz-mp-parts-count'] = String(info.partSizes.length)
  if (!range) {
    const whole = { 'Content-Length': String(info.size), ...checksumHeaders(call.request, info) }
    return { headers: { ...headers, ...whole } }
  }
  return {
    status: 206,
    headers: {
      ...headers,
      'Content-Length': String(range.last - range.first + 1),
      'Content-Range': `bytes ${range.first}-${range.last}/${info.size}`,
    },
  }
}

const ATTRIBUTES: Readonly<Record<string, (info: EmbeddedObjectInfo) => XmlContent | undefined>> = {
  ETag: ({ etag }) => etag,
  Checksum: checksumElements,
  ObjectParts: ({ etag, partSizes }) => (/-\d+$/.test(etag) ? { PartsCount: partSizes.length } : undefined),
  StorageClass: () => 'STANDARD',
  ObjectSize: ({ size }) => size,
}

/** What is asked for of an object, and nothing else. */
export async function getObjectAttributes(call: S3Call): Promise<S3Answer> {
  const { bucket, key } = objectOf(call)
  const asked = (call.request.headers.get('x-amz-object-attributes') ?? '').split(',').map((name) => name.trim())
  if (asked.some((name) => !Object.hasOwn(ATTRIBUTES, name)))
    throw new S3Error('InvalidArgument', 'Invalid attribute name specified.')
  const info = await call.store.headObject(bucket, key)
  const content = Object.entries(ATTRIBUTES).map(([name, of]) => [name, asked.includes(name) ? of(info) : undefined])
  const headers = { 'Last-Modified': info.lastModified.toUTCString() }
  return { headers, xml: { root: 'GetObjectAttributesResponse', content: Object.fromEntries(content) } }
}

/** Ranges that are none are as if they were not there, several at once too, as in S3. */
function rangeOf({ request: { headers } }: S3Call): Range | undefined {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(headers.get('range')?.trim() ?? '') ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined
  if (first === '') return { suffix: Number(last) }
  if (last === '') return { first: Number(first) }
  return Number(last) < Number(first) ? undefined : { first: Number(first), last: Number(last) }
}

/** Of an object that came in parts each part can be had alone. */
async function partRange(call: S3Call): Promise<Range | undefined> {
  const text = call.request.query.get('partNumber')
  if (text === undefined) return undefined
  const { bucket, key } = objectOf(call)
  const { partSizes, size } = await call.store.headObject(bucket, key)
  const number = Number(text)
  const bytes = partSizes[number - 1]
  if (!/^\d{1,5}$/.test(text) || bytes === undefined) throw new S3Error('InvalidPart')
  if (size === 0) return undefined
  const first = partSizes.slice(0, number - 1).reduce((sum, one) => sum + one, 0)
  return { first, last: first + bytes - 1 }
}

export async function putObject(call: S3Call): Promise<S3Answer> {
  const { bucket, key } = objectOf(call)
  const attributes = attributesOf(call.request)
  const conditions = putConditions(call.request)
  const { stream, size, checksums } = call.payload()
  const within = auditedObject(call, 'object.put', { bucket, key })
  const checksum = () => storedChecksum(checksums)
  const options = { ...attributes, ...conditions, size, within, checksum }
  const info = await call.store.putObject(bucket, key, stream, options)
  return { headers: { ETag: `"${info.etag}"`, ...checksums } }
}

export async function deleteObject(call: S3Call): Promise<S3Answer> {
  const { bucket, key } = objectOf(call)
  await call.store.deleteObject(bucket, key, { within: auditedObject(call, 'object.delete', { bucket, key }) })
  return { status: 204 }
}

/** Many at once. What was not there is gone, too. */
export async function deleteObjects(call: S3Call): Promise<S3Answer> {
  const bucket = bucketOf(call)
  const document = await xmlOf(call, 'Delete')
  const named = document.all('Object')
  if (named.length === 0 || named.length > MOST_DELETED) throw new S3Error('MalformedXML')
  const asked = named.map((object) => ({ key: object.text('Key') ?? '', version: object.text('VersionId') ?? '' }))
  const faults = asked.flatMap((one) => faultOf(one) ?? [])
  const keys = asked.map(({ key }) => key).filter((key) => !faults.some(({ Key }) => Key === key))
  await call.store.deleteObjects(bucket, [...new Set(keys)], {
    within: async (tx, removed) => {
      for (const info of removed) {
        await call.audit(tx, {
          action: 'object.delete',
          resource: ['object', `${bucket}/${info.key}`],
          before: shown(info),
        })
      }
    },
  })
  const isQuiet = document.text('Quiet')?.trim() === 'true'
  const content = { Deleted: isQuiet ? [] : keys.map((Key) => ({ Key })), Error: faults }
  return { xml: { root: 'DeleteResult', content } }
}

function faultOf({ key, version }: { key: string; version: string }) {
  try {
    if (key === '') throw new S3Error('InvalidArgument', 'A key is not empty')
    if (version !== '' && version !== 'null') throw new S3Error('InvalidArgument', 'Invalid version id specified')
    checkKey(key)
    return undefined
  } catch (error) {
    if (!(error instanceof S3Error)) throw error
    return { Key: key, Code: error.code, Message: error.message }
  }
}
