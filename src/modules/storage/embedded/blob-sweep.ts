import { setTimeout as delay } from 'node:timers/promises'
import { LOCKS } from '../../../platform/database/advisory-locks.js'
import type { Sql, SqlSession, Statement } from '../../../platform/database/sql.js'
import type { ListedObject, ObjectStore } from '../../../platform/objects/object-store.js'
import { BucketUsage, NO_QUOTA } from './bucket-usage.js'
import { BUCKETS_AREA } from './object-content.js'
import { ObjectWriter } from './object-writer.js'

const DAY_MS = 24 * 3_600_000
/** What no row has ever named is found by a look at all files, and is as old by then as no put could be. */
const UNNAMED_MS = DAY_MS
/** Nobody has written to it for so long: its put has ended, whatever became of it. */
const UNFINISHED_MS = 3_600_000
/** An upload in parts that had none for so long is taken for given up. */
const UPLOAD_MS = 7 * DAY_MS
/** Blobs that are locked, and removed, at a time. */
const BATCH = 100

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
  text: 'select id, tenant_id, ref from bucket_released where released_at < $1 and id > $3 order by id limit $2',
}

const FORGET: Statement = {
  name: 'bucket_released_forget',
  text: 'delete from bucket_released where id = any($1::bigint[])',
}

const FORGET_HASHES: Statement = {
  name: 'bucket_blob_hashes_forget',
  text: `delete from bucket_blob_hashes using unnest($1::text[], $2::text[]) as gone (tenant, blob)
    where tenant_id = tenant and ref = blob`,
}

/** Those that nobody is about to name. From then on whoever would waits, and sees that they are gone. */
const HOLD: Statement = {
  name: 'bucket_blobs_hold',
  text: `select ref from unnest($1::text[]) as ref where pg_try_advisory_xact_lock(${LOCKS.blobs}, hashtext(ref))`,
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
 * Removes blobs that nothing names: those that a row has let go of, after the grace, and, by a look at all of them, those whose process ended
 * before the row was written. Whoever names a blob that no row did before holds its lock until the row is there, and looks whether the blob
 * is; the sweep holds it while it looks for rows and removes. So a row never names what is gone, however long its put took. The grace is for
 * those who read, and for backups. A blob that is put again meanwhile is new, and stays.
 */
export class BlobSweep {
  constructor(
    private readonly sql: Sql,
    private readonly store: ObjectStore,
    private readonly graceMs: number,
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
    const before = new Date(now.getTime() - this.graceMs)
    let removed = 0
    let last = '0'
    for (;;) {
      const rows = await this.sql.query<Released>(RELEASED, [before, BATCH, last])
      if (rows.length === 0 || signal.aborted) return removed
      removed += await this.removeReleased(rows, before)
      last = rows.at(-1)?.id ?? last
    }
  }

  /** Returns how many were removed. */
  async sweepAll(now: Date, signal: AbortSignal): Promise<number> {
    const before = new Date(now.getTime() - UNNAMED_MS)
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

  /** What interrupted puts left. Returns how many files there were. */
  removeUnfinished(now: Date): Promise<number> {
    return this.store.removeUnfinished(new Date(now.getTime() - UNFINISHED_MS))
  }

  private async removeReleased(rows: readonly Released[], before: Date): Promise<number> {
    const blobs = new Map(rows.map((row) => [`${row.tenant_id} ${row.ref}`, blobOf(row)]))
    return await this.sql.transaction(async (tx) => {
      const held = await this.held(tx, [...blobs.values()])
      const removed = await this.removeHeld(tx, held, before)
      // What stays is named by something, which will let go of it in turn, or was put again. What is about to be named is looked at again.
      const refs = new Set(held.map(({ key }) => key))
      await tx.query(FORGET, [rows.filter(({ ref }) => refs.has(ref)).map(({ id }) => id)])
      return removed
    })
  }

  private async removeUnnamed(blobs: readonly Blob[], before: Date): Promise<number> {
    if (blobs.length === 0) return 0
    return await this.sql.transaction(async (tx) => this.removeHeld(tx, await this.held(tx, blobs), before))
  }

  private async held(tx: SqlSession, blobs: readonly Blob[]): Promise<Blob[]> {
    const rows = await tx.query<{ ref: string }>(HOLD, [blobs.map(({ key }) => key)])
    const held = new Set(rows.map(({ ref }) => ref))
    return blobs.filter(({ key }) => held.has(key))
  }

  /** In a statement of its own, which sees what was committed before the locks were taken. */
  private async removeHeld(tx: SqlSession, blobs: readonly Blob[], unlessSince: Date): Promise<number> {
    const rows = await tx.query<{ ref: string }>(KEPT, [blobs.map(({ key }) => key), unlessSince])
    const kept = new Set(rows.map(({ ref }) => ref))
    const removed: Blob[] = []
    for (const blob of blobs)
      if (!kept.has(blob.key) && (await this.store.delete(blob.scope, blob.key, unlessSince))) removed.push(blob)
    await tx.query(FORGET_HASHES, [removed.map(({ scope }) => scope.tenantId), removed.map(({ key }) => key)])
    return removed.length
  }
}

type Blob = Pick<ListedObject, 'scope' | 'key'>
type Released = { id: string; tenant_id: string; ref: string }

function blobOf({ tenant_id: tenantId, ref: key }: Released): Blob {
  return { scope: { area: BUCKETS_AREA, tenantId }, key }
}
