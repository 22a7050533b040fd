import { Module, type OnModuleInit } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import { Sealer } from '../../platform/crypto/sealer.js'
import { sittingOutages } from '../../platform/database/sitting-outages.js'
import { FlowKv } from './flow-kv.js'
import { KvSecrets } from './kv-secrets.js'
import { KvStore } from './kv-store.js'
import { sealEntries } from './seal-entries.js'

/** The key-value entries behind the steps, and what runs must mask of them. */
@Module({ providers: [KvStore, FlowKv, KvSecrets, Sealer], exports: [KvStore, FlowKv, KvSecrets] })
export class KvModule implements OnModuleInit {
  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly sealer: Sealer,
  ) {}

  async onModuleInit(): Promise<void> {
    await sittingOutages(() => sealEntries(this.database, this.sealer))
  }
}
