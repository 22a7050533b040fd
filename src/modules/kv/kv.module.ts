import { Module } from '@nestjs/common'
import { KvStore } from './kv-store.js'

/** The key-value entries behind the `store` step. */
@Module({ providers: [KvStore], exports: [KvStore] })
export class KvModule {}
