import { LOCKS } from '../../../platform/database/advisory-locks.js'
import type { SqlSession } from '../../../platform/database/sql.js'
import { Unavailable } from '../../../platform/http/refusals.js'
import { BucketNotFound, ObjectChanged, ObjectExists, ObjectNotFound } from '../storage.errors.js'
import type { Usage } from './bucket-usage.js'
import type {
  EmbeddedObjectInfo,
  EntityTags,
  ObjectAttributes,
  PutConditions,
  StoredChecksum,
} from './embedded-objects.js'
import { OBJECT_COLUMNS, type ObjectRow, toInfo } from './object-rows.js'

export interface NewObject {
  bucket: string
  key: string
  refs: readonly string[]
  size: number
  etag: string
  attributes: ObjectAttributes
  checksum?: StoredChecksum
}

type Conditions = PutConditions & { onlyNew?: boolean }

const AT = 'tenant_id = $1 and bucket = $2 and key = $3'

const INSERT = `
  insert into bucket_object (tenant_id, bucket, key, size, etag, refs, content_type, headers, metadata, checksum, tags, last_modified)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp())
    on conflict do nothing returning ${OBJECT_COLUMNS}`

const UPDATE = `
  update bucket_object set size = $4, etag = $5, refs = $6, content_type = $7, headers = $8, metadata = $9, checksum = $10, tags = $11,
      last_modified = clock_timestamp()
    where ${AT} returning ${OBJECT_COLUMNS}`

const RELEASE = `
  insert into bucket_released (tenant_id, ref, released_at)
    select $1, ref, clock_timestamp() from unnest($2::text[]) as ref`

/** The changes of one transaction to a tenant's objects. What a row named before it is told to the sweep. */
export class ObjectWriter {
  /** What the tenant keeps more, or less, once this commits. */
  readonly added: Usage = { bytes: 0, objects: 0 }

  constructor(
    private readonly tx: SqlSession,
    private readonly tenantId: string,
  ) {}

  /** Keeps a bucket from being deleted until the transaction ends. Throws `BucketNotFound`. */
  async holdBucket(name: string): Promise<void> {
    if (name.includes('\0')) throw new BucketNotFound(name)
    const text = 'select from bucket where tenant_id = $1 and name = $2 for key share'
    const found = await this.query(text, [this.tenantId, name])
    if (found.length === 0) throw new BucketNotFound(name)
  }

  async put(
    object: NewObject,
    conditions: Conditions,
  ): Promise<{ before?: EmbeddedObjectInfo; after: EmbeddedObjectInfo }> {
    const { attributes } = object
    const values = [
      this.tenantId,
      object.bucket,
      object.key,
      object.size,
      object.etag,
      object.refs,
      attributes.contentType ?? 'application/octet-stream',
      JSON.stringify(attributes.headers ?? {}),
      JSON.stringify(attributes.metadata ?? {}),
      object.checksum ? JSON.stringify(object.checksum) : null,
      JSON.stringify(attributes.tags ?? {}),
    ]
    for (;;) {
      const before = await this.held(object.bucket, object.key, 'for update')
      refuseUnless(conditions, before, object.key)
      // Where somebody else was faster, or has deleted it meanwhile, there is no row; then it is looked at anew.
      const [after] = await this.rows(before ? UPDATE : INSERT, values)
      if (!after) continue
      this.count(object.size - Number(before?.size ?? 0), before ? 0 : 1)
      if (before) await this.release(before.refs)
      return { ...(before && { before: toInfo(before) }), after: toInfo(after) }
    }
  }

  /**
   * Keeps the sweep from a blob that no row may name yet, until the transaction ends. Throws where the sweep was faster: what the blob was
   * written for has waited for longer than the grace.
   */
  async hold(
    { ref, hashes }: { ref: string; hashes: Buffer | undefined },
    isThere: (ref: string) => Promise<boolean>,
  ): Promise<void> {
    await this.query(`select pg_advisory_xact_lock_shared(${LOCKS.blobs}, hashtext($1))`, [ref])
    if (!(await isThere(ref))) throw new Unavailable(new Error('a content was swept before it was named'))
    if (hashes) {
      const text = 'insert into bucket_blob_hashes (tenant_id, ref, hashes) values ($1, $2, $3) on conflict do nothing'
      await this.query(text, [this.tenantId, ref, hashes])
    }
  }

  /** Throws `ObjectNotFound`. */
  async tag(
    bucket: string,
    key: string,
    tags: Readonly<Record<string, string>>,
  ): Promise<{ before: EmbeddedObjectInfo; after: EmbeddedObjectInfo }> {
    const before = await this.held(bucket, key, 'for update')
    if (!before) throw new ObjectNotFound(key)
    await this.query(`update bucket_object set tags = $4 where ${AT}`, [
      this.tenantId,
      bucket,
      key,
      JSON.stringify(tags),
    ])
    return { before: toInfo(before), after: toInfo({ ...before, tags: { ...tags } }) }
  }

  /** An object's row, which nobody changes until the transaction ends. */
  async held(
    bucket: string,
    key: string,
    lock: 'for share' | 'for update' = 'for share',
  ): Promise<ObjectRow | undefined> {
    if (key.includes('\0')) return undefined
    const [row] = await this.rows(`select ${OBJECT_COLUMNS} from bucket_object where ${AT} ${lock}`, [
      this.tenantId,
      bucket,
      key,
    ])
    return row
  }

  async remove(bucket: string, keys: readonly string[]): Promise<EmbeddedObjectInfo[]> {
    // Locked in one order, so that no two wait for each other.
    const removed = await this.rows(
      `with held as (
          select key as held_key from bucket_object where tenant_id = $1 and bucket = $2 and key = any($3)
            order by key for update)
        delete from bucket_object using held where tenant_id = $1 and bucket = $2 and key = held_key
        returning ${OBJECT_COLUMNS}`,
      [this.tenantId, bucket, keys.filter((key) => !key.includes('\0'))],
    )
    this.count(-sum(removed.map(({ size }) => Number(size))), -removed.length)
    await this.release(removed.flatMap(({ refs }) => refs))
    return removed.map(toInfo)
  }

  async removeAll(bucket: string): Promise<void> {
    const counted = await this.query(
      `with removed as (delete from bucket_object where tenant_id = $1 and bucket = $2 returning refs, size),
        released as (
          insert into bucket_released (tenant_id, ref, released_at)
            select $1, ref, clock_timestamp() from removed cross join unnest(refs) as ref)
        select coalesce(sum(size), 0)::float8 as bytes, count(*)::float8 as objects from removed`,
      [this.tenantId, bucket],
    )
    this.uncount(counted)
  }

  /** What was uploaded to a bucket and not completed goes with it. */
  async removeUploads(bucket: string): Promise<void> {
    // Parts that are being put are waited for.
    const held = await this.query<{ id: string }>(
      'select id from bucket_upload where tenant_id = $1 and bucket = $2 order by id for update',
      [this.tenantId, bucket],
    )
    await this.removeHeldUploads(held.map(({ id }) => id))
  }

  /** Of uploads whose rows are locked. */
  async removeHeldUploads(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    const counted = await this.query(
      `with parts as (delete from bucket_upload_part where upload_id = any($2) returning ref, size),
        released as (
          insert into bucket_released (tenant_id, ref, released_at) select $1, ref, clock_timestamp() from parts)
        select coalesce(sum(size), 0)::float8 as bytes, count(*)::float8 as objects from parts`,
      [this.tenantId, ids],
    )
    this.uncount(counted)
    await this.query('delete from bucket_upload where id = any($1)', [ids])
    this.count(0, -ids.length)
  }

  async release(refs: readonly string[]): Promise<void> {
    if (refs.length > 0) await this.query(RELEASE, [this.tenantId, refs])
  }

  count(bytes: number, objects: number): void {
    this.added.bytes += bytes
    this.added.objects += objects
  }

  /** TypeORM's connections know no names of statements. */
  query<Row extends object = Usage>(text: string, values: unknown[]): Promise<(Row & Record<string, unknown>)[]> {
    return this.tx.query<Row & Record<string, unknown>>({ name: '', text }, values)
  }

  private uncount([counted]: readonly Usage[]): void {
    if (counted) this.count(-counted.bytes, -counted.objects)
  }

  private rows(text: string, values: unknown[]): Promise<ObjectRow[]> {
    return this.query<ObjectRow>(text, values)
  }
}

/** Throws unless the conditions hold of an object, or of there being none. */
export function refuseUnless(
  { onlyNew, ifMatch, ifNoneMatch }: Conditions,
  found: Pick<ObjectRow, 'etag'> | undefined,
  key: string,
): void {
  if (onlyNew && found) throw new ObjectExists(key)
  if (ifMatch !== undefined && !found) throw new ObjectNotFound(key)
  if (ifMatch !== undefined && found && !accepts(ifMatch, found.etag)) throw new ObjectChanged()
  if (ifNoneMatch !== undefined && found && accepts(ifNoneMatch, found.etag)) throw new ObjectChanged()
}

function accepts(tags: EntityTags, etag: string): boolean {
  return tags === '*' || tags.includes(etag)
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0)
}
