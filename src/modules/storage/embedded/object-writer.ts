import type { EntityManager } from 'typeorm'
import { sessionOf } from '../../../platform/database/typeorm-session.js'
import { BucketNotFound, ObjectChanged, ObjectExists, ObjectNotFound } from '../storage.errors.js'
import type { EmbeddedObjectInfo, EntityTags, ObjectAttributes, PutConditions } from './embedded-objects.js'
import { OBJECT_COLUMNS, type ObjectRow, toInfo } from './object-rows.js'

export interface NewObject {
  bucket: string
  key: string
  refs: readonly string[]
  size: number
  etag: string
  attributes: ObjectAttributes
}

type Conditions = PutConditions & { onlyNew?: boolean }

const AT = 'tenant_id = $1 and bucket = $2 and key = $3'

const INSERT = `
  insert into bucket_object (tenant_id, bucket, key, size, etag, refs, content_type, headers, metadata, last_modified)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp())
    on conflict do nothing returning ${OBJECT_COLUMNS}`

const UPDATE = `
  update bucket_object set size = $4, etag = $5, refs = $6, content_type = $7, headers = $8, metadata = $9,
      last_modified = clock_timestamp()
    where ${AT} returning ${OBJECT_COLUMNS}`

const RELEASE = `
  insert into bucket_released (tenant_id, ref, released_at)
    select $1, ref, clock_timestamp() from unnest($2::text[]) as ref`

/** The changes to a tenant's objects, each part of somebody's transaction. What a row named before it is told to the sweep. */
export class ObjectWriter {
  constructor(private readonly tenantId: string) {}

  async put(
    tx: EntityManager,
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
    ]
    for (;;) {
      const before = await this.held(tx, object.bucket, object.key, 'for update')
      refuseUnless(conditions, before, object.key)
      // Where somebody else was faster, or has deleted it meanwhile, there is no row; then it is looked at anew.
      const [after] = await rows(tx, before ? UPDATE : INSERT, values)
      if (!after) continue
      if (before) await this.release(tx, before.refs)
      return { ...(before && { before: toInfo(before) }), after: toInfo(after) }
    }
  }

  /** An object's row, which nobody changes until the transaction ends. */
  async held(
    tx: EntityManager,
    bucket: string,
    key: string,
    lock: 'for share' | 'for update' = 'for share',
  ): Promise<ObjectRow | undefined> {
    if (key.includes('\0')) return undefined
    const [row] = await rows(tx, `select ${OBJECT_COLUMNS} from bucket_object where ${AT} ${lock}`, [
      this.tenantId,
      bucket,
      key,
    ])
    return row
  }

  async remove(tx: EntityManager, bucket: string, keys: readonly string[]): Promise<EmbeddedObjectInfo[]> {
    // Locked in one order, so that no two wait for each other.
    const removed = await rows(
      tx,
      `with held as (
          select key as held_key from bucket_object where tenant_id = $1 and bucket = $2 and key = any($3)
            order by key for update)
        delete from bucket_object using held where tenant_id = $1 and bucket = $2 and key = held_key
        returning ${OBJECT_COLUMNS}`,
      [this.tenantId, bucket, keys.filter((key) => !key.includes('\0'))],
    )
    await this.release(
      tx,
      removed.flatMap(({ refs }) => refs),
    )
    return removed.map(toInfo)
  }

  async removeAll(tx: EntityManager, bucket: string): Promise<void> {
    await sessionOf(tx).query(
      plain(`
        with removed as (delete from bucket_object where tenant_id = $1 and bucket = $2 returning refs)
        insert into bucket_released (tenant_id, ref, released_at)
          select $1, ref, clock_timestamp() from removed cross join unnest(refs) as ref`),
      [this.tenantId, bucket],
    )
  }

  /** What was uploaded to a bucket and not completed. */
  async releaseUploads(tx: EntityManager, bucket: string): Promise<void> {
    await sessionOf(tx).query(
      plain(`
        insert into bucket_released (tenant_id, ref, released_at)
          select $1, part.ref, clock_timestamp()
            from bucket_upload upload join bucket_upload_part part on part.upload_id = upload.id
            where upload.tenant_id = $1 and upload.bucket = $2`),
      [this.tenantId, bucket],
    )
  }

  async release(tx: EntityManager, refs: readonly string[]): Promise<void> {
    if (refs.length > 0) await sessionOf(tx).query(plain(RELEASE), [this.tenantId, refs])
  }
}

/** Keeps a bucket from being deleted until the transaction ends. Throws `BucketNotFound`. */
export async function holdBucket(tx: EntityManager, tenantId: string, name: string): Promise<void> {
  if (name.includes('\0')) throw new BucketNotFound(name)
  const found = await sessionOf(tx).query(
    plain('select from bucket where tenant_id = $1 and name = $2 for key share'),
    [tenantId, name],
  )
  if (found.length === 0) throw new BucketNotFound(name)
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

function rows(tx: EntityManager, text: string, values: unknown[]): Promise<ObjectRow[]> {
  return sessionOf(tx).query<ObjectRow & Record<string, unknown>>(plain(text), values)
}

/** TypeORM's connections know no names of statements. */
function plain(text: string) {
  return { name: '', text }
}
