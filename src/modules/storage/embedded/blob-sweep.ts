import { setTimeout as delay } from 'node:timers/promises'
import type { Sql, Statement } from '../../../platform/database/sql.js'
import type { ListedObject, ObjectStore } from '../../../platform/objects/object-store.js'
import { BUCKETS_AREA } from './object-content.js'

const DAY_MS = 24 * 3_600_000
/**
 * A blob is there before the row that names it, and no put takes so long. One that was let go of may still be read by who began before, and
 * be named in a backup of the database whose files are only now copied.
 */
const GRACE_MS = DAY_MS
/** An upload in parts that had none for so long is taken for given up. */
const UPLOAD_MS = 7 * DAY_MS
const BATCH = 500

const STALE_UPLOADS: Statement = {
  name: 'bucket_uploads_stale',
  text: `with stale as (
      select id, tenant_id from bucket_upload upload
        where begun_at < $1
          and not exists (select from bucket_upload_part part where part.upload_id = upload.id and part.put_at >= $1)
        order by begun_at limit $2 for update skip locked),
    released as (
      insert into bucket_released (tenant_id, ref, released_at)
        select tenant_id, ref, $3 from stale join bucket_upload_part part on part.upload_id = stale.id)
    delete from bucket_upload using stale where bucket_upload.id = stale.id returning bucket_upload.id`,
}

const RELEASED: Statement = {
  name: 'bucket_released',
  text: 'select id, tenant_id, ref from bucket_released where released_at < $1 order by id limit $2',
}

const FORGET: Statement = {
  name: 'bucket_released_forget',
  text: 'delete from bucket_released where id = any($1::bigint[])',
}

/**
 * Which of these blobs stay: those that an object or a part names, and those that were let go of since $2. The tenant is not asked for: the
 * same content of another only stays longer than it must.
 */
const KEPT: Statement = {
  name: 'bucket_blobs_kept',
  text: `select asked.ref from unnest($1::text[]) as asked (ref)
    where exists (select from bucket_object where refs @> array[asked.ref])
      or exists (select from bucket_upload_part part where part.ref = asked.ref)
      or exists (select from bucket_released released where released.ref = asked.ref and released.released_at >= $2)`,
}

/**
 * Removes blobs that nothing names, a day later: those that a row has let go of, and, by a look at all of them, those whose process ended before
 * the row was written. A blob that is put again meanwhile is new, and stays.
 */
export class BlobSweep {
  constructor(
    private readonly sql: Sql,
    private readonly store: ObjectStore,
  ) {}

  /** Forgets uploads that rest. Returns how many. */
  async endStaleUploads(now: Date): Promise<number> {
    const before = new Date(now.getTime() - UPLOAD_MS)
    let ended = 0
    for (let found = BATCH; found === BATCH; ended += found)
      found = (await this.sql.query(STALE_UPLOADS, [before, BATCH, now])).length
    return ended
  }

  /** Returns how many were removed. */
  async sweepReleased(now: Date, signal: AbortSignal): Promise<number> {
    const before = new Date(now.getTime() - GRACE_MS)
    let removed = 0
    for (;;) {
      const rows = await this.sql.query<{ id: string; tenant_id: string; ref: string }>(RELEASED, [before, BATCH])
      if (rows.length === 0 || signal.aborted) return removed
      const blobs = new Map(
        rows.map(({ tenant_id: tenantId, ref }) => [
          `${tenantId} ${ref}`,
          { scope: { area: BUCKETS_AREA, tenantId }, key: ref },
        ]),
      )
      removed += await this.removeUnnamed([...blobs.values()], before)
      // What stays is named by something, which will let go of it in turn, or was put again.
      await this.sql.query(FORGET, [rows.map(({ id }) => id)])
    }
  }

  /** Returns how many were removed. */
  async sweepAll(now: Date, signal: AbortSignal): Promise<number> {
    const before = new Date(now.getTime() - GRACE_MS)
    await this.store.removeUnfinished(before)
    let removed = 0
    let batch: ListedObject[] = []
    let startedAt = performance.now()
    for await (const object of this.store.list(BUCKETS_AREA)) {
      if (signal.aborted) return removed
      if (object.putAt < before) batch.push(object)
      if (batch.length < BATCH) continue
      removed += await this.removeUnnamed(batch, before)
      batch = []
      // Rests as long as it worked: there may be millions, and nobody waits for this.
      await delay(performance.now() - startedAt, undefined, { signal }).catch(() => {})
      startedAt = performance.now()
    }
    return removed + (await this.removeUnnamed(batch, before))
  }

  private async removeUnnamed(
    blobs: readonly Pick<ListedObject, 'scope' | 'key'>[],
    unlessSince: Date,
  ): Promise<number> {
    if (blobs.length === 0) return 0
    const rows = await this.sql.query<{ ref: string }>(KEPT, [blobs.map(({ key }) => key), unlessSince])
    const kept = new Set(rows.map(({ ref }) => ref))
    let removed = 0
    for (const { scope, key } of blobs)
      if (!kept.has(key) && (await this.store.delete(scope, key, unlessSince))) removed++
    return removed
  }
}
