import { Module } from '@nestjs/common'
import { AuditModule } from '../audit/audit.module.js'
import { StorageModule } from '../storage/storage.module.js'
import { S3Callers } from './s3-callers.js'
import { S3Protocol } from './s3-protocol.js'
import { UrlSigners } from './url-signers.js'

/** The S3 protocol, over the embedded store. */
@Module({
  imports: [AuditModule, StorageModule],
  providers: [S3Callers, UrlSigners, S3Protocol],
  exports: [S3Protocol],
})
export class S3Module {}
