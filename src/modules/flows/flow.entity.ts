import { Column, Entity, PrimaryColumn } from 'typeorm'

/** A flow as its owner knows it; what it does is in its revisions, of which `revision` is the current one. */
@Entity()
export class Flow {
  @PrimaryColumn('text')
  id: string

  @Column('text')
  tenantId: string

  @Column('text')
  accountId: string

  @Column('text')
  name: string

  @Column('text')
  description: string

  /** The author's own word for it, read from the definition. */
  @Column('text')
  version: string

  @Column('text', { array: true })
  tags: string[]

  @Column('integer')
  revision: number

  @Column('timestamptz')
  createdAt: Date

  @Column('timestamptz')
  updatedAt: Date

  /** Set once the flow is deleted: nothing starts it any more, and its runs go on to their end. */
  @Column('timestamptz', { nullable: true })
  deletedAt: Date | null
}
