import type { DataSource, EntityManager } from 'typeorm'
import { sessionOf } from '../../../platform/database/typeorm-session.js'
import type { BucketUsage } from './bucket-usage.js'
import { ObjectWriter } from './object-writer.js'

/** Changes of a tenant's objects: each is a transaction, and what it adds up to is counted at its end. */
export class StoreChanges {
  constructor(
    private readonly tenantId: string,
    private readonly dataSource: DataSource,
    readonly usage: BucketUsage,
  ) {}

  /** Throws `StorageQuotaExceeded` where there is no room for it. */
  run<T>(work: (writer: ObjectWriter, tx: EntityManager) => Promise<T>): Promise<T> {
    return this.dataSource.transaction(async (tx) => {
      const session = sessionOf(tx)
      const writer = new ObjectWriter(session, this.tenantId)
      const result = await work(writer, tx)
      await this.usage.count(session, writer.added)
      return result
    })
  }
}
