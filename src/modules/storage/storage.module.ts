import { Module } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import { Config } from '../../platform/config/config.js'
import { Sealer } from '../../platform/crypto/sealer.js'
import { Sql } from '../../platform/database/sql.js'
import { ObjectStore } from '../../platform/objects/object-store.js'
import { OutboundModule } from '../../platform/outbound/outbound.module.js'
import { AuditModule } from '../audit/audit.module.js'
import { UrlPresigner } from '../s3/url-presigner.js'
import { BucketGauges } from './embedded/bucket-gauges.js'
import { quotaOf } from './embedded/bucket-usage.js'
import { EmbeddedStores } from './embedded/embedded-stores.js'
import { StorageHousekeeping } from './embedded/storage-housekeeping.js'
import { Presigner } from './presigner.js'
import { KeptProviders } from './providers/kept-providers.js'
import { OwnAddress } from './providers/own-address.js'
import { ProvidersService } from './providers/providers.service.js'
import { StorageProvider } from './providers/storage-provider.entity.js'
import { StorageProviders } from './storage-providers.js'

/** Where tenants store objects. */
@Module({
  imports: [TypeOrmModule.forFeature([StorageProvider]), AuditModule, OutboundModule],
  providers: [
    { provide: Presigner, useClass: UrlPresigner },
    {
      provide: EmbeddedStores,
      inject: [DataSource, Sql, ObjectStore, Presigner, Config],
      useFactory: (dataSource: DataSource, sql: Sql, objects: ObjectStore, presigner: Presigner, config: Config) =>
        new EmbeddedStores({ dataSource, sql, objects, presigner, quota: quotaOf(config) }),
    },
    StorageHousekeeping,
    BucketGauges,
    { provide: StorageProviders, useClass: KeptProviders },
    ProvidersService,
    OwnAddress,
    Sealer,
  ],
  exports: [EmbeddedStores, StorageProviders, ProvidersService, OwnAddress],
})
export class StorageModule {}
