import { Global, Module } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { Sealer } from '../../platform/crypto/sealer.js'
import { sittingOutages } from '../../platform/database/sitting-outages.js'
import { Sql } from '../../platform/database/sql.js'
import { RefusedCalls } from '../../platform/http/refused-calls.js'
import { Metrics } from '../../platform/telemetry/metrics.js'
import { AuditQueries } from './audit.queries.js'
import { AuditEntry } from './audit-entry.entity.js'
import { auditSigner } from './audit-key.js'
import { AuditLog } from './audit-log.js'
import { AuditRefusals } from './audit-refusals.js'
import { AuditRetention } from './audit-retention.js'
import { AuditSealer } from './audit-sealer.js'
import { AuditSigner } from './audit-signer.js'
import { AuditTrail } from './audit-trail.js'
import { AuditVerifier } from './audit-verifier.js'

/** The audit trail; every module that changes something at a caller's wish imports it. Global for what the platform tells it. */
@Global()
@Module({
  imports: [TypeOrmModule.forFeature([AuditEntry])],
  providers: [
    Sealer,
    {
      provide: AuditSigner,
      inject: [Sql, Sealer],
      useFactory: (sql: Sql, sealer: Sealer) => sittingOutages(() => auditSigner(sql, sealer)),
    },
    AuditTrail,
    AuditSealer,
    AuditVerifier,
    AuditRetention,
    AuditQueries,
    AuditLog,
    { provide: RefusedCalls, useClass: AuditRefusals },
  ],
  exports: [AuditTrail, AuditLog, RefusedCalls],
})
export class AuditModule {
  constructor(metrics: Metrics, sealer: AuditSealer) {
    metrics.asked(
      { name: 'millrace_audit_open_seconds', help: 'How long the oldest entry of the audit trail waits for its seal.' },
      () => sealer.openFor(),
    )
  }
}
