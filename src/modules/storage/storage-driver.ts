import type { Readable } from 'node:stream'

/** A bucket, wherever it is. */
export interface Bucket {
  name: string
  createdAt: Date
}

/** An object without its content. */
export interface ObjectInfo {
  /** As it was given: any UTF-8 of up to 1,024 bytes without NUL. */
  key: string
  /** Bytes. */
  size: number
  /** Without the quotes that it has in a header. */
  etag: string
  lastModified: Date
  /** Absent in lists of services that do not tell it there. */
  contentType?: string
  metadata?: Readonly<Record<string, string>>
}

export interface ObjectQuery {
  prefix?: string
  /** What ends the name of a folder: keys with it behind the prefix are told as one folder. */
  delimiter?: string
  /** `next` of the page before. */
  continuation?: string
  /** Objects and folders together, 1 to 1,000. */
  limit: number
}

/** Objects and folders by key, in the order of their UTF-8 bytes where the service has one. */
export interface ObjectPage {
  objects: ObjectInfo[]
  /** Prefixes up to and with their delimiter. */
  folders: string[]
  /** What the next page continues from; opaque. Absent on the last. */
  next?: string
}

/** Bytes of an object, both ends included; without `last` up to its end. */
export interface ByteRange {
  first: number
  last?: number
}

export interface ObjectContent {
  info: ObjectInfo
  /** Ends with an error where the content is not what was stored. Whoever does not read it to its end destroys it. */
  stream: Readable
}

export interface PutOptions {
  /** `application/octet-stream` unless said. */
  contentType?: string
  metadata?: Readonly<Record<string, string>>
  /** Bytes, where they are known beforehand: a content of another length is refused and leaves nothing. */
  size?: number
  /** Refuses with `ObjectExists` what is there already. */
  onlyNew?: boolean
  signal?: AbortSignal
}

/** What a presigned URL is for, and how long. */
export interface Presigning {
  /** Seconds, 1 to 604,800. */
  expiresIn: number
  /** The answer's `Content-Disposition`, where the service can be told. */
  contentDisposition?: string
  /** The answer's `Content-Type`, where the service can be told. */
  contentType?: string
}

/**
 * One place where buckets are: the embedded store of a tenant, or a service behind the credentials of a provider. Faults that callers can
 * mend are the `DomainError`s of `storage.errors.ts`; what a service refuses or does not answer is `ProviderFailed`, in words without
 * credentials. A put is whole or absent, and durable when it resolves.
 */
export interface StorageDriver {
  /** By name. */
  listBuckets(): Promise<Bucket[]>
  hasBucket(name: string): Promise<boolean>
  /** Throws `BucketExists`. */
  createBucket(name: string): Promise<void>
  /** Throws `BucketNotFound`, and `BucketNotEmpty` unless `force`, which deletes what is in it first. */
  deleteBucket(name: string, options: { force: boolean }): Promise<void>
  /** Throws `BucketNotFound`. */
  listObjects(bucket: string, query: ObjectQuery): Promise<ObjectPage>
  /** Throws `BucketNotFound` or `ObjectNotFound`. */
  headObject(bucket: string, key: string): Promise<ObjectInfo>
  /** Throws `BucketNotFound`, `ObjectNotFound`, or `RangeNotSatisfiable`. */
  getObject(bucket: string, key: string, options?: { range?: ByteRange; signal?: AbortSignal }): Promise<ObjectContent>
  /** Throws `BucketNotFound`, `ObjectExists`. What `content` throws is thrown on, and nothing is left of it. */
  putObject(bucket: string, key: string, content: Readable, options?: PutOptions): Promise<ObjectInfo>
  /** Resolves where there was none, too. Throws `BucketNotFound`. */
  deleteObject(bucket: string, key: string): Promise<void>
  /** A URL that gives the object to whoever has it, until it expires. */
  presignGet(bucket: string, key: string, presigning: Presigning): Promise<string>
  /** A URL that takes an object by PUT from whoever has it, until it expires. */
  presignPut(bucket: string, key: string, presigning: Presigning): Promise<string>
  /** Lets go of connections. */
  close(): Promise<void>
}
