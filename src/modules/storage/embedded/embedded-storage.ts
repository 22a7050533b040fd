import { finished, type Readable } from 'node:stream'
import type { DataSource } from 'typeorm'
import type { Sql, Statement } from '../../../platform/database/sql.js'
import type { ObjectScope, ObjectStore } from '../../../platform/objects/object-store.js'
import type { Presigner } from '../presigner.js'
import { BucketExists, BucketNotEmpty, BucketNotFound, ObjectNotFound } from '../storage.errors.js'
import type { Bucket, ObjectPage, Presigning, StorageDriver } from '../storage-driver.js'
import { HASH_BYTES } from './blob-pieces.js'
import { BucketUsage, NO_QUOTA, type StorageQuota, type Usage } from './bucket-usage.js'
import type {
  CopyOptions,
  EmbeddedGetOptions,
  EmbeddedObjectInfo,
  EmbeddedObjectQuery,
  EmbeddedPutOptions,
  Within,
} from './embedded-objects.js'
import { checkKey } from './key-order.js'
import { MultipartUploads } from './multipart-uploads.js'
import { type BlobReading, BUCKETS_AREA, held, readable, resolvedRange, written } from './object-content.js'
import { listed } from './object-list.js'
import { OBJECT_COLUMNS, type ObjectRow, toInfo } from './object-rows.js'
import { type ObjectWriter, refuseUnless } from './object-writer.js'
import { StoreChanges } from './store-changes.js'

export interface EmbeddedStoreParts {
  dataSource: DataSource
  sql: Sql
  objects: ObjectStore
  presigner: Presigner
  /** Of each tenant. */
  quota?: StorageQuota
}

export interface EmbeddedObjectContent {
  info: EmbeddedObjectInfo
  /** What of the content `stream` has, where a range was asked for. */
  range?: { first: number; last: number }
  stream: Readable
}

/** A content on its way to its key. */
export interface StagedContent {
  ref: string
  size: number
  md5: string
  hashes: Buffer | undefined
  open(): Promise<Readable>
  /** It goes, unless something names it. */
  release(): Promise<void>
}

/** Any two names sort as their UTF-8 bytes do: the columns are collated so. */
const BUCKETS: Statement = {
  name: 'buckets',
  text: 'select name, created_at as "createdAt" from bucket where tenant_id = $1 order by name',
}
const HAS_BUCKET: Statement = { name: 'bucket_has', text: 'select from bucket where tenant_id = $1 and name = $2' }
const OBJECT: Statement = {
  name: 'bucket_object',
  text: `select ${OBJECT_COLUMNS} from bucket_object where tenant_id = $1 and bucket = $2 and key = $3`,
}

const HASHES: Statement = {
  name: 'bucket_blob_hashes',
  text: 'select substring(hashes from $3 for $4) as hashes from bucket_blob_hashes where tenant_id = $1 and ref = $2',
}
/** Far below the least grace. */
const STILL_READ_MS = 15_000
const STILL_READ: Statement = {
  name: 'bucket_released_still_read',
  text: 'update bucket_released set released_at = clock_timestamp() where tenant_id = $1 and ref = any($2)',
}

/**
 * The embedded store of one tenant: rows in Postgres, contents as blobs of the object store. A blob is durable before the transaction that
 * writes the row which names it; one that no row names any more is the sweep's. So an object is whole or absent, and an overwritten one is
 * the old or the new, whenever a process ends. It needs no closing, and there may be any number for one tenant.
 */
export class EmbeddedStorage implements StorageDriver {
  readonly uploads: MultipartUploads
  private readonly scope: ObjectScope
  private readonly changes: StoreChanges
  private readonly space: BucketUsage
  private readonly reading: BlobReading

  constructor(
    readonly tenantId: string,
    private readonly parts: EmbeddedStoreParts,
  ) {
    this.scope = { area: BUCKETS_AREA, tenantId }
    this.reading = { store: parts.objects, scope: this.scope, hashesOf: (...asked) => this.hashesOf(...asked) }
    this.space = new BucketUsage(tenantId, parts.quota ?? NO_QUOTA)
    this.changes = new StoreChanges(tenantId, parts.dataSource, this.space)
    this.uploads = new MultipartUploads(this.scope, this.changes, parts)
  }

  listBuckets(): Promise<Bucket[]> {
    return this.parts.sql.query<Bucket & Record<string, unknown>>(BUCKETS, [this.tenantId])
  }

  async hasBucket(name: string): Promise<boolean> {
    // Nothing that Postgres holds has U+0000 in it.
    if (name.includes('\0')) return false
    return (await this.parts.sql.query(HAS_BUCKET, [this.tenantId, name])).length > 0
  }

  async createBucket(name: string, { within }: { within?: Within<void> } = {}): Promise<void> {
    await this.changes.run(async (_, tx) => {
      const made = await tx.query<unknown[]>(
        `insert into bucket (tenant_id, name, created_at) values ($1, $2, clock_timestamp())
          on conflict do nothing returning name`,
        [this.tenantId, name],
      )
      if (made.length === 0) throw new BucketExists(name)
      await within?.(tx)
    })
  }

  async deleteBucket(name: string, { force, within }: { force: boolean; within?: Within<void> }): Promise<void> {
    await this.requireBucket(name)
    await this.changes.run(async (writer, tx) => {
      // From here on nobody puts anything into it.
      const found = await tx.query<unknown[]>('select from bucket where tenant_id = $1 and name = $2 for update', [
        this.tenantId,
        name,
      ])
      if (found.length === 0) throw new BucketNotFound(name)
      if (force) await writer.removeAll(name)
      else await this.refuseObjects(writer, name)
      await writer.removeUploads(name)
      await tx.query('delete from bucket where tenant_id = $1 and name = $2', [this.tenantId, name])
      await within?.(tx)
    })
  }

  async listObjects(bucket: string, query: EmbeddedObjectQuery): Promise<ObjectPage> {
    if (bucket.includes('\0')) throw new BucketNotFound(bucket)
    const page = await listed(this.parts.sql, this.tenantId, bucket, query)
    if (page.objects.length === 0 && page.folders.length === 0) await this.requireBucket(bucket)
    return page
  }

  async headObject(bucket: string, key: string): Promise<EmbeddedObjectInfo> {
    return toInfo(await this.row(bucket, key))
  }

  async getObject(bucket: string, key: string, options: EmbeddedGetOptions = {}): Promise<EmbeddedObjectContent> {
    const row = await this.row(bucket, key)
    const info = toInfo(row)
    const range = resolvedRange(options.range, info.size)
    const stream = await readable(this.reading, row.refs, range, options.signal)
    if (row.refs.length > 1) this.keepWhileRead(row.refs, stream)
    return { info, stream, ...(range && { range }) }
  }

  async putObject(
    bucket: string,
    key: string,
    content: Readable,
    options: EmbeddedPutOptions = {},
  ): Promise<EmbeddedObjectInfo> {
    held(content)
    let room: number
    try {
      checkKey(key)
      await this.refuseEarly(bucket, key, options)
      room = await this.space.roomForPut(this.parts.sql, { bucket, key }, options.size)
    } catch (error) {
      content.destroy()
      throw error
    }
    const staged = await this.kept(content, { ...options, room })
    try {
      return await this.putStaged(bucket, key, staged, options)
    } catch (error) {
      // What cannot be said now is found by the daily look at all files.
      await staged.release().catch(() => {})
      throw error
    }
  }

  /** Keeps a content that has no key yet. A process that ends meanwhile leaves it to the sweep. */
  staged(content: Readable, options: { size?: number; signal?: AbortSignal } = {}): Promise<StagedContent> {
    held(content)
    return this.kept(content, { ...options, room: this.space.mostBytes })
  }

  /** Names a content that this store keeps already; no byte is moved. */
  async putStaged(
    bucket: string,
    key: string,
    staged: StagedContent,
    options: Omit<EmbeddedPutOptions, 'size' | 'signal'> = {},
  ): Promise<EmbeddedObjectInfo> {
    checkKey(key)
    const { ref, size, md5 } = staged
    return await this.changes.run(async (writer, tx) => {
      await writer.holdBucket(bucket)
      await writer.hold(staged, (one) => this.parts.objects.has(this.scope, one))
      const checksum = options.checksum?.()
      const object = { bucket, key, refs: [ref], size, etag: md5, attributes: options, ...(checksum && { checksum }) }
      const change = await writer.put(object, options)
      await options.within?.(tx, change)
      return change.after
    })
  }

  /** All of them, instead of those before. Throws `BucketNotFound`, `ObjectNotFound`. */
  async tagObject(
    bucket: string,
    key: string,
    tags: Readonly<Record<string, string>>,
    { within }: { within?: Within } = {},
  ): Promise<void> {
    await this.changes.run(async (writer, tx) => {
      await writer.holdBucket(bucket)
      await within?.(tx, await writer.tag(bucket, key, tags))
    })
  }

  async deleteObject(bucket: string, key: string, { within }: { within?: Within } = {}): Promise<void> {
    await this.changes.run(async (writer, tx) => {
      await writer.holdBucket(bucket)
      const [before] = await writer.remove(bucket, [key])
      if (before) await within?.(tx, { before })
    })
  }

  /** All that are there of these, in one transaction. Answers those that were. */
  async deleteObjects(
    bucket: string,
    keys: readonly string[],
    { within }: { within?: Within<EmbeddedObjectInfo[]> } = {},
  ): Promise<EmbeddedObjectInfo[]> {
    return await this.changes.run(async (writer, tx) => {
      await writer.holdBucket(bucket)
      const removed = await writer.remove(bucket, keys)
      if (removed.length > 0) await within?.(tx, removed)
      return removed
    })
  }

  /** Moves no bytes: the copy names the same blobs. Onto itself it changes the attributes. */
  async copyObject(
    from: { bucket: string; key: string },
    to: { bucket: string; key: string },
    options: CopyOptions = {},
  ): Promise<EmbeddedObjectInfo> {
    checkKey(to.key)
    return await this.changes.run(async (writer, tx) => {
      await writer.holdBucket(from.bucket)
      await writer.holdBucket(to.bucket)
      // Held, so that its blobs are not let go of before this commits.
      const source = await writer.held(from.bucket, from.key)
      if (!source) throw new ObjectNotFound(from.key)
      refuseUnless({ ifMatch: options.sourceIfMatch, ifNoneMatch: options.sourceIfNoneMatch }, source, from.key)
      const { content_type: contentType, headers, metadata, refs, size, etag, checksum } = source
      const tags = options.tags ?? source.tags
      const attributes = { ...(options.attributes ?? { contentType, headers, metadata }), tags }
      const change = await writer.put(
        { ...to, refs, size: Number(size), etag, attributes, ...(checksum && { checksum }) },
        options,
      )
      await options.within?.(tx, change)
      return change.after
    })
  }

  /** What the tenant keeps here in all. */
  usage(): Promise<Usage> {
    return this.space.now(this.parts.sql)
  }

  async presignGet(bucket: string, key: string, presigning: Presigning): Promise<string> {
    await this.row(bucket, key)
    return await this.parts.presigner.presign({ ...presigning, tenantId: this.tenantId, method: 'GET', bucket, key })
  }

  async presignPut(bucket: string, key: string, presigning: Presigning): Promise<string> {
    checkKey(key)
    await this.requireBucket(bucket)
    return await this.parts.presigner.presign({ ...presigning, tenantId: this.tenantId, method: 'PUT', bucket, key })
  }

  async close(): Promise<void> {}

  /** Throws `BucketNotFound`. */
  async requireBucket(name: string): Promise<void> {
    if (!(await this.hasBucket(name))) throw new BucketNotFound(name)
  }

  private async row(bucket: string, key: string): Promise<ObjectRow> {
    const [row] = `${bucket}${key}`.includes('\0')
      ? []
      : await this.parts.sql.query<ObjectRow & Record<string, unknown>>(OBJECT, [this.tenantId, bucket, key])
    if (row) return row
    await this.requireBucket(bucket)
    throw new ObjectNotFound(key)
  }

  /** Before gigabytes are taken in vain. What counts is looked at again when the row is written. */
  private async refuseEarly(bucket: string, key: string, options: EmbeddedPutOptions): Promise<void> {
    await this.requireBucket(bucket)
    if (!options.onlyNew && options.ifMatch === undefined && options.ifNoneMatch === undefined) return
    const [found] = await this.parts.sql.query<ObjectRow & Record<string, unknown>>(OBJECT, [
      this.tenantId,
      bucket,
      key,
    ])
    refuseUnless(options, found, key)
  }

  private async refuseObjects(writer: ObjectWriter, bucket: string): Promise<void> {
    const text = 'select from bucket_object where tenant_id = $1 and bucket = $2 limit 1'
    if ((await writer.query(text, [this.tenantId, bucket])).length > 0) throw new BucketNotEmpty(bucket)
  }

  private async hashesOf(ref: string, first: number, count: number): Promise<Buffer | undefined> {
    const asked = [this.tenantId, ref, first * HASH_BYTES + 1, count * HASH_BYTES]
    const [row] = await this.parts.sql.query<{ hashes: Buffer }>(HASHES, asked)
    return row?.hashes
  }

  /** Blobs of an object are opened one after the other: one that is let go of meanwhile is not swept for as long as it will be read. */
  private keepWhileRead(refs: readonly string[], stream: Readable): void {
    const timer = setInterval(() => {
      // Fails it for a minute or more, what is not opened by then is missing, and the stream ends with that.
      this.parts.sql.query(STILL_READ, [this.tenantId, refs]).catch(() => {})
    }, STILL_READ_MS)
    finished(stream, () => clearInterval(timer))
  }

  private async kept(
    content: Readable,
    options: { size?: number; room: number; signal?: AbortSignal },
  ): Promise<StagedContent> {
    const { objects } = this.parts
    const full = (bytes: number) => this.space.refused(this.parts.sql, bytes)
    const { key: ref, size, md5, hashes } = await written(objects, this.scope, content, { ...options, full })
    return {
      ref,
      size,
      md5,
      hashes,
      open: () => objects.get(this.scope, ref),
      release: () => this.changes.run((writer) => writer.release([ref])),
    }
  }
}
