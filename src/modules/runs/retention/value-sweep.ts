import { setTimeout as delay } from 'node:timers/promises'
import type { Sql, Statement } from '../../../platform/database/sql.js'
import type { ListedObject, ObjectStore } from '../../../platform/objects/object-store.js'
import { VALUES_AREA } from '../values/run-values.js'

/** An object is put before the row that refers to it, and no flush stays under way for so long. */
const GRACE_MS = 24 * 3_600_000
const BATCH = 500

/**
 * Which of these references any row has, each looked up by its index. The tenant is not asked for: the same content of another only stays
 * longer than it must.
 */
const USED: Statement = {
  name: 'value_used',
  text: `select key from unnest($1::text[]) as asked (key)
    where coalesce(
      (select true from run where input_ref = key limit 1), (select true from run where result_ref = key limit 1),
      (select true from step_outcome where output_ref = key limit 1),
      (select true from step_outcome where shared_ref = key limit 1), false)`,
}

/**
 * Removes values that no run refers to: those of removed runs, and those whose process ended before the row was written. A value that
 * is put again meanwhile is new, and stays.
 */
export class ValueSweep {
  constructor(
    private readonly sql: Sql,
    private readonly store: ObjectStore,
  ) {}

  /** Returns how many were removed. */
  async sweep(now: Date, signal: AbortSignal): Promise<number> {
    const before = new Date(now.getTime() - GRACE_MS)
    await this.store.removeUnfinished(before)
    let removed = 0
    let batch: ListedObject[] = []
    let startedAt = performance.now()
    for await (const object of this.store.list(VALUES_AREA)) {
      if (signal.aborted) return removed
      batch.push(object)
      if (batch.length < BATCH) continue
      removed += await this.removeUnused(batch, before)
      batch = []
      // Rests as long as it worked: there may be millions, and nobody waits for this.
      await delay(performance.now() - startedAt, undefined, { signal }).catch(() => {})
      startedAt = performance.now()
    }
    return removed + (await this.removeUnused(batch, before))
  }

  private async removeUnused(listed: readonly ListedObject[], before: Date): Promise<number> {
    const objects = listed.filter(({ putAt }) => putAt < before)
    if (objects.length === 0) return 0
    const rows = await this.sql.query<{ key: string }>(USED, [objects.map(({ key }) => key)])
    const used = new Set(rows.map(({ key }) => key))
    let removed = 0
    for (const { scope, key } of objects) if (!used.has(key) && (await this.store.delete(scope, key, before))) removed++
    return removed
  }
}
