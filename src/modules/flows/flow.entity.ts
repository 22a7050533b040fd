import { Column, Entity, PrimaryColumn } from 'typeorm'

/** Which entry counts where a flow, its group and all flows have one of the same key. */
export const KEY_VALUE_CONFLICTS = ['parent', 'child', 'merge'] as const

export type KeyValueConflict = (typeof KEY_VALUE_CONFLICTS)[number]

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

  /** Counts every change, where `revision` counts those of the definition. */
  @Column('integer')
  changes: number

  /** Nothing starts a flow that is not, unless it is told to. */
  @Column('boolean')
  enabled: boolean

  @Column('text')
  category: string

  /** The folder that it lies in. */
  @Column('text', { nullable: true })
  groupId: string | null

  /** A name for programs, unique among the account's flows, which stays when the flow is renamed. */
  @Column('text')
  permanentId: string

  /** Whether it sees key-value entries of its group and of all flows. */
  @Column('boolean')
  kvInherit: boolean

  @Column('text')
  kvConflict: KeyValueConflict

  @Column('timestamptz')
  createdAt: Date

  @Column('timestamptz')
  updatedAt: Date

  /** Set once the flow is deleted: nothing starts it any more, and its runs go on to their end. */
  @Column('timestamptz', { nullable: true })
  deletedAt: Date | null
}
