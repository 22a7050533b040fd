import type { DataSource } from 'typeorm'
import { Sealer } from './sealer.js'

/** A table whose rows hold one sealed text each, in the columns `key_id` and `sealed`. */
export interface SealedTable {
  name: string
  /** The columns of its primary key. */
  primaryKey: readonly string[]
  /** The further columns that `place` reads. */
  columns?: readonly string[]
  /** What the row's text was sealed for. */
  place(row: Readonly<Record<string, string>>): readonly string[]
}

export interface Rotation {
  table: string
  /** Sealed under another key before, under the current one now. */
  resealed: number
}

interface Row extends Record<string, unknown> {
  key_id: string
  sealed: Buffer
}

/**
 * Seals everything anew that is not under the current key. Goes through each table in batches, a transaction each, so it can be
 * stopped and started again at any time and beside running processes.
 */
export async function* rotateKeys(
  database: DataSource,
  sealer: Sealer,
  tables: readonly SealedTable[],
  batchSize = 200,
): AsyncGenerator<Rotation> {
  for (const table of tables) {
    let resealed = 0
    let batch: number
    do {
      batch = await resealBatch(database, sealer, table, batchSize)
      resealed += batch
    } while (batch > 0)
    yield { table: table.name, resealed }
  }
}

async function resealBatch(database: DataSource, sealer: Sealer, table: SealedTable, size: number): Promise<number> {
  const { name, primaryKey, columns = [] } = table
  const key = primaryKey.join(', ')
  const isRow = primaryKey.map((column, index) => `${column} = $${index + 3}`).join(' and ')
  return await database.transaction(async (tx) => {
    const rows: Row[] = await tx.query(
      `select ${[...primaryKey, ...columns, 'key_id', 'sealed'].join(', ')} from ${name}
       where key_id <> $1 order by ${key} limit $2 for update`,
      [sealer.currentKeyId, size],
    )
    for (const row of rows) {
      const place = table.place(row as unknown as Record<string, string>)
      const { keyId, sealed } = sealer.seal(sealer.open({ keyId: row.key_id, sealed: row.sealed }, place), place)
      const values = primaryKey.map((column) => row[column])
      await tx.query(`update ${name} set key_id = $1, sealed = $2 where ${isRow}`, [keyId, sealed, ...values])
    }
    return rows.length
  })
}
