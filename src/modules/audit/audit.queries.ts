import { Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { Brackets, DataSource, type SelectQueryBuilder } from 'typeorm'
import { AuditEntry, type AuditOutcome } from './audit-entry.entity.js'

/** Which entries of a tenant. */
export interface AuditFilter {
  actorId?: string
  action?: string
  resourceType?: string
  resourceId?: string
  outcome?: AuditOutcome
  /** Not before, and before. */
  from?: Date
  until?: Date
  /** Only what stands before the entry with this id in the trail. */
  before?: string
}

export interface AuditPage {
  entries: AuditEntry[]
  total: number
}

/** Counting goes no further: a page of a long trail should not cost what reading all of it would. */
export const MOST_COUNTED = 100_000
/** Entries of an export that are read at once. */
const BATCH = 1_000
/** Nearly all entries of a long trail, and no others have this type: `0011-audit-chain.ts` says why indexes leave them out. */
const STARTS = 'run.start'
/** How far entries may be out of the order of their times: as long as a transaction takes that writes one. */
const DISORDER = "interval '10 minutes'"

/**
 * The trail as it is read: newest first, along an index that begins with what is asked for. Texts of these statements depend on the
 * filter, so each is planned for its values.
 */
@Injectable()
export class AuditQueries {
  constructor(@InjectDataSource() private readonly database: DataSource) {}

  async page(tenantId: string, filter: AuditFilter, limit: number, offset: number): Promise<AuditPage> {
    const [total, entries] = await Promise.all([
      this.count(tenantId, filter),
      this.matching(tenantId, filter).orderBy('entry.seq', 'DESC').limit(limit).offset(offset).getMany(),
    ])
    return { total, entries }
  }

  /** All of them, read as they are taken. */
  async *all(tenantId: string, filter: AuditFilter): AsyncGenerator<AuditEntry[]> {
    for (let before = filter.before; ; ) {
      const batch = await this.matching(tenantId, { ...filter, before })
        .orderBy('entry.seq', 'DESC')
        .limit(BATCH)
        .getMany()
      if (batch.length > 0) yield batch
      before = batch.at(-1)?.id
      if (batch.length < BATCH) return
    }
  }

  /** Whether the tenant has, or had, an account with this id. */
  async knowsAccount(tenantId: string, id: string): Promise<boolean> {
    const rows = await this.database.query('select from account where id = $1 and tenant_id = $2', [id, tenantId])
    return rows.length > 0
  }

  private async count(tenantId: string, filter: AuditFilter): Promise<number> {
    const counted = this.matching(tenantId, filter).select('1').limit(MOST_COUNTED)
    const [text, values] = counted.getQueryAndParameters()
    const [row] = await this.database.query(`select count(*)::integer as total from (${text}) as counted`, values)
    return row.total
  }

  private matching(tenantId: string, filter: AuditFilter): SelectQueryBuilder<AuditEntry> {
    const { actorId, action, resourceType, resourceId, outcome, from, until, before } = filter
    const query = this.database.getRepository(AuditEntry).createQueryBuilder('entry').where({ tenantId })
    if (actorId !== undefined) query.andWhere({ actorId })
    if (action !== undefined) query.andWhere({ action })
    if (resourceType !== undefined) query.andWhere({ resourceType })
    if (resourceId !== undefined) query.andWhere({ resourceId })
    // Spelled as the indexes' conditions are, which no parameter would be recognised in.
    if (outcome === 'failure') query.andWhere(`entry.outcome = 'failure'`)
    else if (outcome !== undefined) query.andWhere({ outcome })
    const isNoStart =
      (action !== undefined && action !== STARTS) || (resourceType !== undefined && resourceType !== 'run')
    if (isNoStart) query.andWhere(`entry.action <> '${STARTS}'`)
    if (from) query.andWhere(since('from', '>=', from))
    if (until) query.andWhere(since('until', '<', until))
    if (before !== undefined) query.andWhere('entry.seq < (select seq from audit_entry where id = :before)', { before })
    return query
  }
}

/** The time, and what it says of the numbers: those are indexed. */
function since(name: string, operator: '>=' | '<', at: Date): Brackets {
  const edge = operator === '>=' ? `:${name}::timestamptz - ${DISORDER}` : `:${name}::timestamptz + ${DISORDER}`
  return new Brackets((both) => {
    both
      .where(`entry.at ${operator} :${name}`, { [name]: at })
      .andWhere(`entry.seq ${operator} (select audit_seq_at(${edge}))`, { [name]: at })
  })
}
