import { Column, Entity, PrimaryColumn } from 'typeorm'

/** A folder of an account's flows. What its flows share in key-value entries is kept under it, and approvals may ask for its members. */
@Entity()
export class FlowGroup {
  @PrimaryColumn('text')
  id: string

  @Column('text')
  tenantId: string

  @Column('text')
  accountId: string

  /** Unique in the account. */
  @Column('text')
  name: string

  /** Its place among the account's groups; those with the same one stand by name. */
  @Column('integer')
  index: number

  /** Ids of accounts of the tenant. */
  @Column('text', { array: true })
  members: string[]

  @Column('timestamptz')
  createdAt: Date

  @Column('timestamptz')
  updatedAt: Date
}
