import { Module } from '@nestjs/common'
import { DataSource } from 'typeorm'
import { Sql } from '../../platform/database/sql.js'
import { ObjectStore } from '../../platform/objects/object-store.js'
import { EmbeddedProviders } from './embedded/embedded-providers.js'
import { EmbeddedStores } from './embedded/embedded-stores.js'
import { StorageHousekeeping } from './embedded/storage-housekeeping.js'
import { NoPresigner, Presigner } from './presigner.js'
import { StorageProviders } from './storage-providers.js'

/** Where tenants store objects. */
@Module({
  providers: [
    { provide: Presigner, useClass: NoPresigner },
    {
      provide: EmbeddedStores,
      inject: [DataSource, Sql, ObjectStore, Presigner],
      useFactory: (dataSource: DataSource, sql: Sql, objects: ObjectStore, presigner: Presigner) =>
        new EmbeddedStores({ dataSource, sql, objects, presigner }),
    },
    StorageHousekeeping,
    { provide: StorageProviders, useClass: EmbeddedProviders },
  ],
  exports: [EmbeddedStores, StorageProviders],
})
export class StorageModule {}
