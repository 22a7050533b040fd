import type { Readable } from 'node:stream'
import type { EntityManager } from 'typeorm'
import type { Principal } from '../../platform/auth/principal.js'
import type { JsonObject } from '../../platform/json.js'
import type { EmbeddedObjectInfo, Within } from '../storage/embedded/embedded-objects.js'
import type { EmbeddedStorage } from '../storage/embedded/embedded-storage.js'
import type { Payload } from './body/payload.js'
import { S3Error } from './s3.errors.js'
import type { S3Request } from './s3-request.js'
import { parseXml, type XmlContent, type XmlElement } from './xml.js'

/** A request whose caller is known. */
export interface S3Call {
  request: S3Request
  caller: Principal
  /** The caller's tenant's. */
  store: EmbeddedStorage
  /** Whether whoever asks may just have been given the URL. */
  presigned: boolean
  /** What comes in its body, checked as it passes. */
  payload(): Payload
  /** The whole body. */
  body(limit: number): Promise<Buffer>
  audit: (tx: EntityManager, entry: AuditedChange) => Promise<void>
}

export interface AuditedChange {
  action: string
  resource: readonly [type: string, id: string]
  before?: JsonObject
  after?: JsonObject
}

export interface S3Answer {
  /** 200 unless said. */
  status?: number
  headers?: Readonly<Record<string, string>>
  xml?: { root: string; content: XmlContent }
  content?: Readable
}

export function bucketOf({ request: { bucket } }: S3Call): string {
  if (bucket === undefined) throw new S3Error('MethodNotAllowed')
  return bucket
}

export function objectOf(call: S3Call): { bucket: string; key: string } {
  const { key } = call.request
  if (key === undefined) throw new S3Error('MethodNotAllowed')
  return { bucket: bucketOf(call), key }
}

/** Enough for ten thousand parts, and for a thousand keys whose every character is written as a reference. */
const LARGEST_XML = 8 * 1024 * 1024

export async function xmlOf(call: S3Call, root: string): Promise<XmlElement> {
  return parseXml(await call.body(LARGEST_XML), root)
}

/** A whole number of the query, from 0 on; `most` where it is more or not said. */
export function countOf({ request: { query } }: S3Call, name: string, most: number): number {
  const text = query.get(name)
  if (text === undefined || text === '') return most
  if (!/^\d{1,10}$/.test(text) || Number(text) > 2 ** 31 - 1)
    throw new S3Error('InvalidArgument', `Argument ${name} must be an integer between 0 and 2147483647`)
  return Math.min(Number(text), most)
}

/** Tells the trail of a change to an object, in its transaction. */
export function auditedObject(
  call: S3Call,
  action: 'object.put' | 'object.delete' | 'object.copy' | 'object.tag',
  { bucket, key }: { bucket: string; key: string },
): Within {
  return (tx, { before, after }) =>
    call.audit(tx, {
      action,
      resource: ['object', `${bucket}/${key}`],
      ...(before && { before: shown(before) }),
      ...(after && { after: shown(after) }),
    })
}

export function shown({ size, etag, contentType, tags }: EmbeddedObjectInfo): JsonObject {
  return { size, etag, contentType, ...(Object.keys(tags).length > 0 && { tags: { ...tags } }) }
}
