import type { EntityTags, PutConditions } from '../storage/embedded/embedded-objects.js'
import type { ObjectInfo } from '../storage/storage-driver.js'
import { S3Error } from './s3.errors.js'
import type { S3Request } from './s3-request.js'

type Told = Pick<ObjectInfo, 'etag' | 'lastModified'>

/** Whether the object is to be answered, or only that it is what the caller has. Throws `PreconditionFailed`. */
export function isWanted(request: S3Request, info: Told): boolean {
  const { match, noneMatch, modifiedSince, unmodifiedSince } = conditionsOf(request, 'if-')
  if (match !== undefined ? !accepts(match, info) : unmodifiedSince !== undefined && isLater(info, unmodifiedSince))
    throw new S3Error('PreconditionFailed')
  if (noneMatch !== undefined) return !accepts(noneMatch, info)
  return modifiedSince === undefined || isLater(info, modifiedSince)
}

/** Throws `PreconditionFailed` unless what is to be copied is as the caller wants it. */
export function requireSource(request: S3Request, info: Told): void {
  const { match, noneMatch, modifiedSince, unmodifiedSince } = conditionsOf(request, 'x-amz-copy-source-if-')
  const holds = [
    match === undefined || accepts(match, info),
    noneMatch === undefined || !accepts(noneMatch, info),
    modifiedSince === undefined || noneMatch !== undefined || isLater(info, modifiedSince),
    unmodifiedSince === undefined || match !== undefined || !isLater(info, unmodifiedSince),
  ]
  if (holds.includes(false)) throw new S3Error('PreconditionFailed')
}

/** On what is there already. */
export function putConditions({ headers }: S3Request): PutConditions {
  const ifMatch = tags(headers.get('if-match'))
  const ifNoneMatch = tags(headers.get('if-none-match'))
  return { ...(ifMatch !== undefined && { ifMatch }), ...(ifNoneMatch !== undefined && { ifNoneMatch }) }
}

export function sourceMatch({ headers }: S3Request): { sourceIfMatch?: EntityTags; sourceIfNoneMatch?: EntityTags } {
  return {
    sourceIfMatch: tags(headers.get('x-amz-copy-source-if-match')),
    sourceIfNoneMatch: tags(headers.get('x-amz-copy-source-if-none-match')),
  }
}

function conditionsOf({ headers }: S3Request, prefix: string) {
  return {
    match: tags(headers.get(`${prefix}match`)),
    noneMatch: tags(headers.get(`${prefix}none-match`)),
    modifiedSince: time(headers.get(`${prefix}modified-since`)),
    unmodifiedSince: time(headers.get(`${prefix}unmodified-since`)),
  }
}

function accepts(expected: EntityTags, { etag }: Told): boolean {
  return expected === '*' || expected.includes(etag)
}

/** Headers know whole seconds. */
function isLater({ lastModified }: Told, than: Date): boolean {
  return Math.floor(lastModified.getTime() / 1000) > Math.floor(than.getTime() / 1000)
}

/** Clients send entity tags with quotes and without. */
export function tag(text: string): string {
  return text.trim().replace(/^(?:W\/)?"(.*)"$/, '$1')
}

function tags(header: string | undefined): EntityTags | undefined {
  if (header === undefined) return undefined
  return header.trim() === '*' ? '*' : header.split(',').map(tag)
}

/** What is no date is no condition. */
function time(header: string | undefined): Date | undefined {
  const at = new Date(header ?? '')
  return Number.isNaN(at.getTime()) ? undefined : at
}
