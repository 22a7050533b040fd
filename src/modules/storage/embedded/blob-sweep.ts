import { setTimeout as delay } from 'node:timers/promises'
import type { Sql, Statement } from '../../../platform/database/sql.js'
import type { ListedObject, ObjectStore } from '../../../platform/objects/object-store.js'
import { BucketUsage, NO_QUOTA } from './bucket-usage.js'
import { BUCKETS_AREA } from './object-content.js'
import { ObjectWriter } from './object-writer.js'

const DAY_MS = 24 * 3_600_000
/**
 * A blob is there before the row that names it, and no put takes so long. One that was let go of may still be read by who began before, and
 * be named in a backup of the database whose files are only now copied.
 */
const GRACE_MS = DAY_MS
/** An upload in parts that had none for so long is taken for given up. */
const UPLOAD_MS = 7 * DAY_MS
const BATCH = 500

const RESTING = `begun_at < $1
    and not exists (select from bucket_upload_part part where part.upload_id = upload.id and part.put_at >= $1)`

const STALE_UPLOADS: Statement = {
  name: 'bucket_uploads_stale',
  text: `select tenant_id, id from bucket_upload upload where ${RESTING} order by begun_at limit $2`,
}

const HOLD_UPLOADS: Statement = {
  name: 'bucket_uploads_hold',
  text: `select id from bucket_upload where id = any($1) order by id for update`,
}

/** Asked anew once they are locked: a part may have come meanwhile. */
const STILL_STALE: Statement = {
  name: 'bucket_uploads_still_stale',
  text: `select id from bucket_upload upload where ${RESTING} and id = any($2)`,
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
    for (;;) {
      const found = await this.sql.query<{ tenant_id: string; id: string }>(STALE_UPLOADS, [before, BATCH])
      const ofTenant = Map.groupBy(found, ({ tenant_id }) => tenant_id)
      for (const [tenantId, uploads] of ofTenant)
        ended += await this.endUploads(
          tenantId,
          uploads.map(({ id }) => id),
          before,
        )
      if (found.length < BATCH) return ended
    }
  }

  private endUploads(tenantId: string, ids: readonly string[], before: Date): Promise<number> {
    return this.sql.transaction(async (tx) => {
      const held = await tx.query<{ id: string }>(HOLD_UPLOADS, [ids])
      const stale = await tx.query<{ id: string }>(STILL_STALE, [before, held.map(({ id }) => id)])
      const writer = new ObjectWriter(tx, tenantId)
      await writer.removeHeldUploads(stale.map(({ id }) => id))
      await new BucketUsage(tenantId, NO_QUOTA).count(tx, writer.added)
      return stale.length
    })
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
