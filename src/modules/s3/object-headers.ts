import type { EmbeddedObjectInfo, KeptHeaders, ObjectAttributes } from '../storage/embedded/embedded-objects.js'
import { tagsOf } from './object-tags.js'
import { S3Error } from './s3.errors.js'
import type { S3Call } from './s3-call.js'
import type { S3Request, SentHeaders } from './s3-request.js'

/** Names and values together, as in S3. */
const LARGEST_METADATA = 2_048
const META = 'x-amz-meta-'

const KEPT: readonly [member: keyof KeptHeaders, header: string][] = [
  ['cacheControl', 'cache-control'],
  ['contentDisposition', 'content-disposition'],
  ['contentEncoding', 'content-encoding'],
  ['contentLanguage', 'content-language'],
  ['expires', 'expires'],
]

/** What of an answer a signed request may say itself. */
const OVERRIDES: readonly [parameter: string, header: string][] = [
  ['response-content-type', 'Content-Type'],
  ['response-content-language', 'Content-Language'],
  ['response-expires', 'Expires'],
  ['response-cache-control', 'Cache-Control'],
  ['response-content-disposition', 'Content-Disposition'],
  ['response-content-encoding', 'Content-Encoding'],
]

/** Headers that ask for what is not done here: to take such an object as if it were would break the promise. */
const NOT_OFFERED = /^x-amz-(server-side-encryption|object-lock-|website-redirect-location|grant-|write-offset-bytes$)/

/** What a request says of the object that it makes. Throws where it wants more of it than there is. */
export function attributesOf(request: S3Request): ObjectAttributes {
  const { headers } = request
  for (const name of headers.names())
    if (NOT_OFFERED.test(name)) throw new S3Error('NotImplemented', `${name} is not implemented`)
  refuseOthers(request, 'x-amz-acl', ['private', 'bucket-owner-full-control', 'bucket-owner-read'])
  refuseOthers(request, 'x-amz-storage-class', ['STANDARD'])
  const kept = KEPT.flatMap(([member, header]) => {
    const value = member === 'contentEncoding' ? contentEncoding(headers) : said(request, header)
    return value === undefined || value === '' ? [] : [[member, value]]
  })
  const contentType = said(request, 'content-type')
  return {
    ...(contentType !== undefined && contentType !== '' && { contentType }),
    headers: Object.fromEntries(kept) as KeptHeaders,
    metadata: metadataOf(request),
    tags: tagsOf(said(request, 'x-amz-tagging')),
  }
}

/** As a header, or, of a presigned request, as a parameter, where signers move the headers of S3 itself. */
export function said({ headers, query }: S3Request, name: string): string | undefined {
  const header = headers.get(name)
  if (header !== undefined) return asText(header)
  return name.startsWith('x-amz-') ? query.entries.find(([one]) => one.toLowerCase() === name)?.[1] : undefined
}

/** Without the coding that was for the way only. */
function contentEncoding(headers: SentHeaders): string | undefined {
  const codings = headers
    .get('content-encoding')
    ?.split(',')
    .map((coding) => coding.trim())
  return codings?.filter((coding) => coding.toLowerCase() !== 'aws-chunked').join(', ')
}

function metadataOf({ headers, query }: S3Request): Record<string, string> {
  const parameters = query.entries.map(([name, value]) => [name.toLowerCase(), value] as const)
  const sent = [...headers.names()].map((name) => [name, asText(headers.get(name) ?? '')] as const)
  const metadata: Record<string, string> = {}
  let size = 0
  for (const [name, value] of [...parameters, ...sent]) {
    if (!name.startsWith(META) || name.length === META.length) continue
    metadata[name.slice(META.length)] = value
    size += Buffer.byteLength(name) - META.length + Buffer.byteLength(value)
  }
  if (size > LARGEST_METADATA) throw new S3Error('MetadataTooLarge')
  if (!Object.entries(metadata).every(([name, value]) => isHeader(META + name, value)))
    throw new S3Error('InvalidArgument', 'Metadata holds a name or a value that cannot be a header')
  return metadata
}

function refuseOthers(request: S3Request, name: string, known: readonly string[]): void {
  const value = said(request, name)
  if (value === undefined || known.includes(value)) return
  throw new S3Error('NotImplemented', `${name} is not implemented but for ${known.join(', ')}`)
}

/** What an answer tells of an object. */
export function headersOf(info: EmbeddedObjectInfo): Record<string, string> {
  const tagCount = Object.keys(info.tags).length
  const kept = KEPT.flatMap(([member, header]) => {
    const value = info.headers[member]
    return value === undefined ? [] : [[header, asBytes(value)]]
  })
  return {
    'Accept-Ranges': 'bytes',
    ETag: `"${info.etag}"`,
    ...(tagCount > 0 && { 'x-amz-tagging-count': String(tagCount) }),
    'Last-Modified': info.lastModified.toUTCString(),
    // Other APIs take types that could not stand in a header.
    'content-type': isHeader('content-type', info.contentType) ? asBytes(info.contentType) : 'application/octet-stream',
    ...Object.fromEntries(kept),
    ...Object.fromEntries(Object.entries(info.metadata).map(([name, value]) => [META + name, asBytes(value)])),
  }
}

/**
 * What the request itself wants the answer to say. Whoever follows a link sees nothing of it as a page, unless its maker signed that it
 * may be one.
 */
export function overrides({ request: { query }, presigned }: S3Call, stored: KeptHeaders): Record<string, string> {
  const asked = OVERRIDES.flatMap(([parameter, header]) => {
    const value = query.get(parameter)
    if (value === undefined) return []
    if (/(?!\t)\p{Cc}/u.test(value)) throw new S3Error('InvalidArgument', `${parameter} cannot be a header`)
    return [[header.toLowerCase(), asBytes(value)]]
  })
  const isAttached = /^\s*attachment\b/i.test(stored.contentDisposition ?? '')
  return {
    ...(presigned && !isAttached && { 'content-disposition': 'attachment' }),
    ...Object.fromEntries(asked),
  }
}

/** Headers are bytes to Node, one to a character: here they are text where they are UTF-8. */
function asText(bytes: string): string {
  const buffer = Buffer.from(bytes, 'latin1')
  const text = buffer.toString('utf8')
  return Buffer.from(text, 'utf8').equals(buffer) ? text : bytes
}

/** Parameters may say what headers cannot. */
function isHeader(name: string, value: string): boolean {
  return /^[!#$%&'*+.^_`|~\w-]+$/.test(name) && !/(?!\t)\p{Cc}/u.test(value)
}

function asBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}
