import { Module } from '@nestjs/common'
import { KvStore } from './kv-store.js'

@Module({ providers: [KvStore], exports: [KvStore] })
export class KvModule {}
