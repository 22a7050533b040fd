import type { DataSource } from 'typeorm'
import type { Sealer } from '../../platform/crypto/sealer.js'
import { UNSEALED } from './kv-entries.js'
import { sealedEntries } from './kv-place.js'

const BATCH = 200

/**
 * Seals the entries that were stored before values were sealed. In batches, a transaction each, so several processes may do it at the
 * same time; when there are none it is one look at an empty index.
 */
export async function sealEntries(database: DataSource, sealer: Sealer): Promise<void> {
  let sealed: number
  do {
    sealed = await sealBatch(database, sealer)
  } while (sealed === BATCH)
}

async function sealBatch(database: DataSource, sealer: Sealer): Promise<number> {
  return await database.transaction(async (tx) => {
    const rows: (Record<string, string> & { sealed: Buffer })[] = await tx.query(
      `select id, account_id, scope, scope_key, key, sealed from kv_entry where key_id = '${UNSEALED}'
        order by id limit ${BATCH} for update`,
    )
    for (const row of rows) {
      const { keyId, sealed } = sealer.seal(row.sealed.toString(), sealedEntries.place(row))
      await tx.query('update kv_entry set key_id = $2, sealed = $3 where id = $1', [row.id, keyId, sealed])
    }
    return rows.length
  })
}
