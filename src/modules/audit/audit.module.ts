import { Module } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { AuditEntry } from './audit-entry.entity.js'
import { AuditTrail } from './audit-trail.js'

/** The audit trail; every module that changes something at a caller's wish imports it. */
@Module({
  imports: [TypeOrmModule.forFeature([AuditEntry])],
  providers: [AuditTrail],
  exports: [AuditTrail],
})
export class AuditModule {}
