import type { EntityManager } from 'typeorm'
import type { ByteRange, ObjectInfo, ObjectQuery, PutOptions } from '../storage-driver.js'

/** What the embedded store keeps and does beyond the port of all drivers: what the S3 protocol needs. */

/** Headers that are kept with an object and told with it, as they were given. */
export interface KeptHeaders {
  cacheControl?: string
  contentDisposition?: string
  contentEncoding?: string
  contentLanguage?: string
  expires?: string
}

/** What a client has said of a content, and what it was found to be. */
export interface StoredChecksum {
  /** As in `x-amz-checksum-crc32`. */
  algorithm: string
  /** Of the content, or of the checksums of its parts. */
  type: 'FULL_OBJECT' | 'COMPOSITE'
  value: string
}

export interface ObjectAttributes {
  /** `application/octet-stream` unless said. */
  contentType?: string
  headers?: Readonly<KeptHeaders>
  metadata?: Readonly<Record<string, string>>
  tags?: Readonly<Record<string, string>>
}

export interface EmbeddedObjectInfo extends ObjectInfo {
  contentType: string
  metadata: Readonly<Record<string, string>>
  headers: Readonly<KeptHeaders>
  tags: Readonly<Record<string, string>>
  /** Absent where none was told. */
  checksum?: Readonly<StoredChecksum>
  /** The bytes of each part of a multipart upload, in order; of others one. */
  partSizes: readonly number[]
}

/** How a change left the object; `before` is absent where there was none, `after` where there is none. */
export interface ObjectChange {
  before?: EmbeddedObjectInfo
  after?: EmbeddedObjectInfo
}

/** Joins the transaction of a change, last, such as an entry of the audit trail does. */
export type Within<Change = ObjectChange> = (tx: EntityManager, change: Change) => Promise<void>

/** Entity tags without their quotes, or any object at all. */
export type EntityTags = '*' | readonly string[]

export interface PutConditions {
  /** Throws `ObjectNotFound` where there is none, `ObjectChanged` where it is none of these. */
  ifMatch?: EntityTags
  /** Throws `ObjectChanged` where there is one of these. */
  ifNoneMatch?: EntityTags
}

export interface EmbeddedPutOptions extends PutOptions, PutConditions {
  /** Asked for once the content has ended: a checksum may come behind it. */
  checksum?: () => StoredChecksum | undefined
  headers?: Readonly<KeptHeaders>
  tags?: Readonly<Record<string, string>>
  within?: Within
}

/** The last bytes of an object; all where it has fewer. */
export interface SuffixRange {
  suffix: number
}

export interface EmbeddedGetOptions {
  range?: ByteRange | SuffixRange
  signal?: AbortSignal
}

export interface EmbeddedObjectQuery extends ObjectQuery {
  /** Only what comes after this key, or after this folder as a whole. `continuation` wins. */
  startAfter?: string
}

export interface CopyOptions extends PutConditions {
  /** Instead of the source's own: all of them. */
  attributes?: Omit<ObjectAttributes, 'tags'>
  /** Instead of the source's own. */
  tags?: Readonly<Record<string, string>>
  /** On the source. Throws `ObjectChanged`. */
  sourceIfMatch?: EntityTags
  sourceIfNoneMatch?: EntityTags
  within?: Within
}
