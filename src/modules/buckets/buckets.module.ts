import { Module } from '@nestjs/common'
import { AuditModule } from '../audit/audit.module.js'
import { StorageModule } from '../storage/storage.module.js'
import { BucketsService } from './buckets.service.js'

/** Buckets and objects as people see them. */
@Module({
  imports: [StorageModule, AuditModule],
  providers: [BucketsService],
  exports: [BucketsService],
})
export class BucketsModule {}
