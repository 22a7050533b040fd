import { type BeforeApplicationShutdown, Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Rounds } from '../../platform/clock/rounds.js'
import { Config } from '../../platform/config/config.js'
import { Chores } from '../../platform/database/chores.js'
import { isDatabaseGone } from '../../platform/database/database-is-gone.js'
import { Sql, type SqlSession, type Statement } from '../../platform/database/sql.js'
import { CONTENT } from './audit-sealer.js'
import { AuditSigner, isSame, type Link, type SealedContent, START } from './audit-signer.js'
import { AuditTrail } from './audit-trail.js'

const DAY_MS = 86_400_000
/** How often a process looks whether there is anything to remove; done by whoever comes first in an hour. */
const LOOK_MS = 900_000
const EVERY_MS = 3_600_000
/** Entries of one transaction. */
const BATCH = 1_000

/**
 * Removes entries that are older than AUDIT_RETENTION_DAYS, from the beginning of a tenant's chain only, through `audit_cut`: it leaves
 * a checkpoint, from which the rest is verified. What is removed is verified first, so that a break cannot be cut away; and the removal
 * is an entry itself.
 */
@Injectable()
export class AuditRetention implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger('Audit')
  private readonly chores: Chores
  private readonly rounds = new Rounds(
    LOOK_MS,
    (signal) => this.look(signal),
    (err) => {
      if (!isDatabaseGone(err)) this.logger.error({ err }, 'old entries of the audit trail could not be removed')
    },
  )

  constructor(
    private readonly sql: Sql,
    @InjectDataSource() private readonly database: DataSource,
    private readonly signer: AuditSigner,
    private readonly trail: AuditTrail,
    @Inject(Config) private readonly config: Pick<Config, 'auditRetentionDays'>,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.chores = new Chores(sql)
  }

  onApplicationBootstrap(): void {
    if (this.config.auditRetentionDays > 0) this.rounds.begin()
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.rounds.end()
  }

  /** Removes what was written before. Answers how many entries went. */
  async removeBefore(before: Date, signal?: AbortSignal): Promise<number> {
    let removed = 0
    for (const { tenant_id } of await this.sql.query<{ tenant_id: string }>(TENANTS)) {
      let ofTenant = 0
      for (let cut = BATCH; cut === BATCH && !signal?.aborted; ofTenant += cut) cut = await this.cut(tenant_id, before)
      removed += ofTenant
      if (ofTenant === 0) continue
      await this.trail.record(this.database.manager, {
        actor: { tenantId: tenant_id },
        action: 'audit.cut',
        resource: ['audit'],
        after: { entries: ofTenant, before: before.toISOString() },
      })
    }
    return removed
  }

  private async look(signal: AbortSignal): Promise<void> {
    const now = this.clock.now()
    if (!(await this.chores.begins('audit retention', now, EVERY_MS))) return
    const before = new Date(now.getTime() - this.config.auditRetentionDays * DAY_MS)
    const removed = await this.removeBefore(before, signal)
    if (removed > 0)
      this.logger.log(`removed ${removed} entries of the audit trail from before ${before.toISOString()}`)
  }

  private async cut(tenantId: string, before: Date): Promise<number> {
    return await this.sql.transaction(async (tx) => {
      await tx.query(TURN)
      const beginning = await this.beginning(tx, tenantId)
      if (!beginning) return 0
      const rows = await tx.query<OldRow & object>(OLDEST, [tenantId, beginning.position, BATCH, before])
      let end = beginning
      for (const row of rows) {
        if (!row.is_old) break
        const link = this.signer.seal(end, row)
        if (Number(row.position) !== link.position || !isSame(row.hash, link.hash)) {
          this.logger.error(
            `the audit trail of tenant ${tenantId} is broken at position ${link.position}: nothing is removed`,
          )
          break
        }
        end = link
      }
      if (end.position === beginning.position) return 0
      const [gone] = await tx.query<{ gone: string }>(CUT, [
        tenantId,
        end.position,
        end.hash,
        this.signer.macOf('checkpoint', tenantId, end),
      ])
      return Number(gone?.gone)
    })
  }

  /** Undefined where somebody changed it. */
  private async beginning(tx: SqlSession, tenantId: string): Promise<Link | undefined> {
    const [row] = await tx.query<{ position: string; hash: Buffer; mac: Buffer }>(CHECKPOINT, [tenantId])
    if (!row) return START
    const link = { position: Number(row.position), hash: row.hash }
    return isSame(row.mac, this.signer.macOf('checkpoint', tenantId, link)) ? link : undefined
  }
}

interface OldRow extends SealedContent {
  position: string
  hash: Buffer
  is_old: boolean
}

const TENANTS: Statement = { name: 'audit_tenants', text: 'select tenant_id from audit_head order by tenant_id' }

/** One process at a time, and not while another seals. */
const TURN: Statement = { name: 'audit_retention_turn', text: 'select from audit_sealing for update' }

const CHECKPOINT: Statement = {
  name: 'audit_checkpoint_of',
  text: 'select position::text, hash, mac from audit_checkpoint where tenant_id = $1',
}

const OLDEST: Statement = {
  name: 'audit_oldest',
  text: `select s.position::text, s.hash, e.*
    from (select * from audit_seal where tenant_id = $1 and position > $2 order by position limit $3) as s
    cross join lateral (select e.at < $4 as is_old, ${CONTENT} from audit_entry e where e.seq = s.seq offset 0) as e
    order by s.position`,
}

const CUT: Statement = { name: 'audit_cut', text: 'select audit_cut($1, $2, $3, $4)::text as gone' }
