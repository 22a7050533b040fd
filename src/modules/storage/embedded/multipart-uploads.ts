import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { Sql, Statement } from '../../../platform/database/sql.js'
import { newId } from '../../../platform/ids.js'
import type { ObjectScope, ObjectStore } from '../../../platform/objects/object-store.js'
import { PartInvalid, PartsOutOfOrder, PartTooSmall, UploadNotFound } from '../storage.errors.js'
import type {
  EmbeddedObjectInfo,
  KeptHeaders,
  ObjectAttributes,
  PutConditions,
  StoredChecksum,
  Within,
} from './embedded-objects.js'
import { afterAll, BEHIND_ALL, checkKey } from './key-order.js'
import { held, type WrittenBlob, written } from './object-content.js'
import type { ObjectWriter } from './object-writer.js'
import type { StoreChanges } from './store-changes.js'

/** Of every part but the last, as in S3. */
export const LEAST_PART_BYTES = 5 * 1024 * 1024
export const MOST_PARTS = 10_000

export interface Upload {
  id: string
  key: string
  begunAt: Date
}

/** Which upload is meant. */
export interface UploadName {
  bucket: string
  key: string
  id: string
}

export interface UploadedPart {
  number: number
  size: number
  etag: string
  lastModified: Date
}

export interface PartOptions {
  size?: number
  signal?: AbortSignal
  /** What was said of the part by this algorithm. Asked for once the part has ended. */
  checksum?: (algorithm: string) => string | undefined
}

/** The checksum of the parts' checksums. */
export type Composite = (algorithm: string, parts: readonly string[]) => Promise<string>

export interface UploadQuery {
  prefix?: string
  /** Only those behind this key, or of this key behind this id. */
  after?: { key: string; id?: string }
  /** 1 to 1,000. */
  limit: number
}

interface UploadRow {
  content_type: string
  headers: KeptHeaders
  metadata: Record<string, string>
  tags: Record<string, string>
  /** What the parts bring checksums of. */
  checksum: { algorithm: string } | null
}

type PartRow = { number: number; ref: string; size: string; etag: string; put_at: Date; checksum: string | null }

const FIND: Statement = {
  name: 'bucket_upload',
  text: `select content_type, headers, metadata, tags, checksum from bucket_upload
    where id = $4 and tenant_id = $1 and bucket = $2 and key = $3`,
}
const TAKE = `${FIND.text} for update`

const PARTS: Statement = {
  name: 'bucket_upload_parts',
  text: `select number, ref, size, etag, put_at, checksum from bucket_upload_part where upload_id = $1 and number > $2
    order by number limit $3`,
}

const UPLOADS: Statement = {
  name: 'bucket_uploads',
  text: `select id, key, begun_at as "begunAt" from bucket_upload
    where tenant_id = $1 and bucket = $2 and key >= $3 and key < $4 and (key, id) > ($5, $6)
    order by key, id limit $7`,
}

/**
 * Objects that come in parts, as S3 has them. A part is durable when `putPart` resolves; putting one again replaces it. Completing writes the
 * object's row, which names the parts' blobs, and forgets the upload, in one transaction: no byte is moved.
 */
export class MultipartUploads {
  constructor(
    private readonly scope: ObjectScope,
    private readonly changes: StoreChanges,
    private readonly stores: { sql: Sql; objects: ObjectStore },
  ) {}

  /** Answers the upload's id. */
  async create(
    bucket: string,
    key: string,
    attributes: ObjectAttributes & { checksumAlgorithm?: string } = {},
  ): Promise<string> {
    checkKey(key)
    const id = newId('upload')
    await this.changes.run(async (writer) => {
      await writer.holdBucket(bucket)
      writer.count(0, 1)
      await writer.query(
        `insert into bucket_upload (id, tenant_id, bucket, key, content_type, headers, metadata, checksum, tags, begun_at)
          values ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp())`,
        [
          id,
          this.scope.tenantId,
          bucket,
          key,
          attributes.contentType ?? 'application/octet-stream',
          JSON.stringify(attributes.headers ?? {}),
          JSON.stringify(attributes.metadata ?? {}),
          attributes.checksumAlgorithm ? JSON.stringify({ algorithm: attributes.checksumAlgorithm }) : null,
          JSON.stringify(attributes.tags ?? {}),
        ],
      )
    })
    return id
  }

  async putPart(
    upload: UploadName,
    number: number,
    content: Readable,
    options: PartOptions = {},
  ): Promise<UploadedPart> {
    held(content)
    const { usage } = this.changes
    let room: number
    try {
      if (!Number.isInteger(number) || number < 1 || number > MOST_PARTS) throw new PartInvalid(number)
      await this.find(upload)
      room = await usage.roomForPart(this.stores.sql, upload.id, number, options.size)
    } catch (error) {
      content.destroy()
      throw error
    }
    const full = (bytes: number) => usage.refused(this.stores.sql, bytes)
    const blob = await written(this.stores.objects, this.scope, content, { ...options, room, full })
    try {
      return await this.keepPart(upload, number, blob, options)
    } catch (error) {
      await this.changes.run((writer) => writer.release([blob.key])).catch(() => {})
      throw error
    }
  }

  private async keepPart(
    upload: UploadName,
    number: number,
    blob: WrittenBlob,
    { checksum }: PartOptions,
  ): Promise<UploadedPart> {
    return await this.changes.run(async (writer) => {
      // Of two puts at once the later waits here, and sees what it replaces.
      const begun = await this.held(writer, upload)
      await writer.hold({ ref: blob.key, hashes: blob.hashes }, (ref) => this.stores.objects.has(this.scope, ref))
      const [row] = await writer.query<PartRow & { replaced: string | null; replaced_size: string | null }>(
        `with old as (select ref, size from bucket_upload_part where upload_id = $1 and number = $2)
          insert into bucket_upload_part as part (upload_id, number, ref, size, etag, checksum, put_at)
            values ($1, $2, $3, $4, $5, $6, clock_timestamp())
            on conflict (upload_id, number) do update
              set ref = excluded.ref, size = excluded.size, etag = excluded.etag, checksum = excluded.checksum,
                put_at = excluded.put_at
            returning *, (select ref from old) as replaced, (select size from old) as replaced_size`,
        [upload.id, number, blob.key, blob.size, blob.md5, begun.checksum && checksum?.(begun.checksum.algorithm)],
      )
      if (!row) throw new UploadNotFound(upload.id)
      writer.count(blob.size - Number(row.replaced_size ?? 0), row.replaced ? 0 : 1)
      if (row.replaced) await writer.release([row.replaced])
      return toPart(row)
    })
  }

  /** By number; those behind `after`. */
  async parts(
    upload: UploadName,
    { after = 0, limit }: { after?: number; limit: number },
  ): Promise<{ parts: UploadedPart[]; isLast: boolean }> {
    await this.find(upload)
    const rows = await this.stores.sql.query<PartRow>(PARTS, [upload.id, after, limit + 1])
    return { parts: rows.slice(0, limit).map(toPart), isLast: rows.length <= limit }
  }

  /** By key, then in the order of their making. A bucket that is not there has none. */
  async list(
    bucket: string,
    { prefix = '', after, limit }: UploadQuery,
  ): Promise<{ uploads: Upload[]; isLast: boolean }> {
    if (`${bucket}${prefix}${after?.key}${after?.id}`.includes('\0')) return { uploads: [], isLast: true }
    const rows = await this.stores.sql.query<Upload & Record<string, unknown>>(UPLOADS, [
      this.scope.tenantId,
      bucket,
      prefix,
      prefix === '' ? BEHIND_ALL : afterAll(prefix),
      after?.key ?? '',
      // Without an id all uploads of the key are passed: no id is greater.
      after && !after.id ? BEHIND_ALL : (after?.id ?? ''),
      limit + 1,
    ])
    return { uploads: rows.slice(0, limit), isLast: rows.length <= limit }
  }

  /** Makes the object of these parts. Throws `PartsOutOfOrder`, `PartInvalid`, `PartTooSmall`, and what the conditions refuse. */
  async complete(
    upload: UploadName,
    named: readonly { number: number; etag: string }[],
    options: PutConditions & { within?: Within; composite?: Composite } = {},
  ): Promise<EmbeddedObjectInfo> {
    return await this.changes.run(async (writer, tx) => {
      await writer.holdBucket(upload.bucket)
      const begun = await this.held(writer, upload)
      const all = await writer.query<PartRow>(PARTS.text, [upload.id, 0, MOST_PARTS])
      const parts = chosen(all, named)
      const used = new Set(parts.map(({ ref }) => ref))
      const object = {
        ...upload,
        refs: parts.map(({ ref }) => ref),
        size: sumOf(parts),
        etag: etagOf(parts),
        attributes: {
          contentType: begun.content_type,
          headers: begun.headers,
          metadata: begun.metadata,
          tags: begun.tags,
        },
      }
      const checksum = await compositeOf(begun, parts, options.composite)
      const change = await writer.put({ ...object, ...(checksum && { checksum }) }, options)
      // They are the object's from now on; the others are let go of.
      await writer.query('delete from bucket_upload_part where upload_id = $1 and ref = any($2)', [
        upload.id,
        object.refs,
      ])
      writer.count(-sumOf(all.filter(({ ref }) => used.has(ref))), -all.filter(({ ref }) => used.has(ref)).length)
      await writer.removeHeldUploads([upload.id])
      await options.within?.(tx, change)
      return change.after
    })
  }

  async abort(upload: UploadName): Promise<void> {
    await this.changes.run(async (writer) => {
      await this.held(writer, upload)
      await writer.removeHeldUploads([upload.id])
    })
  }

  private async find({ bucket, key, id }: UploadName): Promise<void> {
    if (`${bucket}${key}${id}`.includes('\0')) throw new UploadNotFound(id)
    const found = await this.stores.sql.query(FIND, [this.scope.tenantId, bucket, key, id])
    if (found.length === 0) throw new UploadNotFound(id)
  }

  private async held(writer: ObjectWriter, { bucket, key, id }: UploadName): Promise<UploadRow> {
    const values = [this.scope.tenantId, bucket, key, id]
    const [row] = `${bucket}${key}${id}`.includes('\0') ? [] : await writer.query<UploadRow>(TAKE, values)
    if (!row) throw new UploadNotFound(id)
    return row
  }
}

function chosen(all: readonly PartRow[], named: readonly { number: number; etag: string }[]): PartRow[] {
  if (named.length === 0) throw new PartInvalid(1)
  const byNumber = new Map(all.map((part) => [part.number, part]))
  const parts = named.map(({ number, etag }, index) => {
    const before = named[index - 1]
    if (before && before.number >= number) throw new PartsOutOfOrder()
    const part = byNumber.get(number)
    if (!part || part.etag !== etag) throw new PartInvalid(number)
    return part
  })
  const small = parts.slice(0, -1).find(({ size }) => Number(size) < LEAST_PART_BYTES)
  if (small) throw new PartTooSmall(small.number, LEAST_PART_BYTES)
  return parts
}

async function compositeOf(
  { checksum }: UploadRow,
  parts: readonly PartRow[],
  composite: Composite | undefined,
): Promise<StoredChecksum | undefined> {
  const told = parts.flatMap((part) => part.checksum ?? [])
  if (!checksum || !composite || told.length < parts.length) return undefined
  const { algorithm } = checksum
  return { algorithm, type: 'COMPOSITE', value: await composite(algorithm, told) }
}

/** S3's own: the MD5 of the parts' MD5s, and how many they are. */
function etagOf(parts: readonly PartRow[]): string {
  const sum = createHash('md5')
  for (const { etag } of parts) sum.update(etag, 'hex')
  return `${sum.digest('hex')}-${parts.length}`
}

function sumOf(parts: readonly PartRow[]): number {
  return parts.reduce((sum, { size }) => sum + Number(size), 0)
}

function toPart({ number, size, etag, put_at }: PartRow): UploadedPart {
  return { number, size: Number(size), etag, lastModified: put_at }
}
