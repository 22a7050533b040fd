import { Column, Entity, PrimaryColumn } from 'typeorm'
import type { JsonObject } from '../../platform/json.js'

/** One thing that was done or tried, by whom and from where. Rows are only ever added; the database refuses anything else, and their seals tell (`audit-sealer.ts`). */
@Entity()
export class AuditEntry {
  /** The order of the trail. A bigint, which the driver gives as text. */
  @PrimaryColumn('bigint', { generated: 'identity', generatedIdentity: 'ALWAYS', insert: false })
  seq: string

  @Column('text')
  id: string

  @Column('text')
  tenantId: string

  @Column('timestamptz')
  at: Date

  /** Null where nobody was known, as in a failed login. */
  @Column('text', { nullable: true })
  actorId: string | null

  @Column('text', { nullable: true })
  actorEmail: string | null

  /** Noun and verb, such as `account.delete`. */
  @Column('text')
  action: string

  @Column('text')
  resourceType: string

  @Column('text', { nullable: true })
  resourceId: string | null

  @Column('text')
  outcome: AuditOutcome

  @Column('text', { nullable: true })
  ip: string | null

  @Column('text', { nullable: true })
  requestId: string | null

  /** How the resource was, without what is secret. */
  @Column('json', { nullable: true })
  before: JsonObject | null

  @Column('json', { nullable: true })
  after: JsonObject | null
}

export type AuditOutcome = 'success' | 'failure'
