import { randomBytes } from 'node:crypto'
import { DataSource } from 'typeorm'
import { systemClock } from '../../platform/clock/clock.js'
import type { EncryptionKey } from '../../platform/config/encryption-keys.js'
import { Sealer } from '../../platform/crypto/sealer.js'
import type { Sql } from '../../platform/database/sql.js'
import { auditSigner } from './audit-key.js'
import { AuditRetention } from './audit-retention.js'
import { AuditSealer } from './audit-sealer.js'
import type { AuditSigner } from './audit-signer.js'
import { AuditTrail } from './audit-trail.js'
import { AuditVerifier } from './audit-verifier.js'

/** The parts of the trail on one database, as one process has them, without their timers. */
export interface TrailUnderTest {
  signer: AuditSigner
  trail: AuditTrail
  sealer: AuditSealer
  verifier: AuditVerifier
  retention: AuditRetention
  /** Writes an entry and answers its id. */
  write(tenantId: string, action: string, after?: { [member: string]: string }): Promise<string>
}

/** The deployment's key, and the one that it changes to. */
export const KEYS: EncryptionKey[] = ['test', 'next'].map((id) => ({ id, key: randomBytes(32) }))

export async function trailUnderTest(
  { dataSource, sql }: { dataSource: DataSource; sql: Sql },
  encryptionKeys = KEYS.slice(0, 1),
): Promise<TrailUnderTest> {
  const signer = await auditSigner(sql, new Sealer({ encryptionKeys }))
  const trail = new AuditTrail(signer)
  const sealer = new AuditSealer(sql, signer)
  return {
    signer,
    trail,
    sealer,
    verifier: new AuditVerifier(sql, sealer, signer),
    retention: new AuditRetention(sql, dataSource, signer, trail, { auditRetentionDays: 1 }, systemClock),
    async write(tenantId, action, after) {
      const actor = { tenantId, accountId: 'account_1', email: 'a@example.com' }
      await trail.record(dataSource.manager, { actor, action, resource: ['thing', 'thing_1'], after })
      const [{ id }] = await dataSource.query('select id from audit_entry order by seq desc limit 1')
      return id
    },
  }
}
