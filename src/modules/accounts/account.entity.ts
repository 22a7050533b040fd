import { Column, Entity, PrimaryColumn } from 'typeorm'
import type { Role } from '../../platform/auth/principal.js'

/** Someone who may log in. Its tenant is the whole of what it can see. */
@Entity()
export class Account {
  @PrimaryColumn('text')
  id: string

  @Column('text')
  tenantId: string

  @Column('text')
  name: string

  /** The login name, as its owner spells it; unique in the tenant whatever the case. */
  @Column('text')
  email: string

  /** Whether an admin or an identity provider gave the address, who may know whose it is. */
  @Column('boolean')
  emailVouched: boolean

  @Column('text')
  role: Role

  @Column('text')
  passwordHash: string

  @Column('timestamptz')
  createdAt: Date

  @Column('timestamptz')
  updatedAt: Date

  /** Set once the account is deleted: the row keeps its id and forgets everything else. */
  @Column('timestamptz', { nullable: true })
  deletedAt: Date | null
}
