import { Column, Entity, PrimaryColumn } from 'typeorm'
import type { Missed, Overlap } from './due-slots.js'

/**
 * What is started again and again, and when. Made by people, or by a `cron` node of a flow, which gives it an id of its own choosing:
 * ids are an account's own.
 */
@Entity()
export class Schedule {
  @PrimaryColumn('text')
  accountId: string

  @PrimaryColumn('text')
  id: string

  @Column('text')
  tenantId: string

  @Column('text')
  name: string

  /** What kind of thing is started. */
  @Column('text')
  targetType: 'flow' | 'job'

  /** The flow, or the one that the job is. */
  @Column('text')
  flowId: string

  /** What the job is known by. */
  @Column('text', { nullable: true })
  jobId: string | null

  /** The node to start at; null means the flow's start. */
  @Column('text', { nullable: true })
  node: string | null

  /** 5 or 6 fields, or a nickname; null where it comes at an interval. */
  @Column('text', { nullable: true })
  cron: string | null

  /** For cron; null means UTC. */
  @Column('text', { nullable: true })
  timezone: string | null

  /** The interval as it was written. */
  @Column('text', { nullable: true })
  every: string | null

  @Column('double precision', { nullable: true })
  everyMs: number | null

  /** Where the interval is counted from. */
  @Column('timestamptz')
  countedFrom: Date

  /** The input of the runs: any JSON value. */
  @Column('json', { nullable: true })
  payload: object | string | number | boolean | null

  @Column('boolean')
  enabled: boolean

  @Column('text')
  overlap: Overlap

  @Column('text')
  missed: Missed

  @Column('integer')
  jitterMs: number

  /** The slot that comes next; null while it is paused, or when none comes any more. */
  @Column('timestamptz', { nullable: true })
  nextRunAt: Date | null

  /** When that slot is looked at. */
  @Column('timestamptz', { nullable: true })
  dueAt: Date | null

  /** When it last started a run. */
  @Column('timestamptz', { nullable: true })
  lastRunAt: Date | null

  @Column('text', { nullable: true })
  idempotencyKey: string | null

  @Column('text', { nullable: true })
  requestHash: string | null

  @Column('timestamptz')
  createdAt: Date

  /** When somebody last changed it; firing does not. */
  @Column('timestamptz')
  updatedAt: Date
}
