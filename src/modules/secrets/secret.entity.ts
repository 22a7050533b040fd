import { Column, Entity, PrimaryColumn } from 'typeorm'

/** A value that an account's flows may use by its key. It is stored sealed and never shown again. */
@Entity()
export class Secret {
  @PrimaryColumn('text')
  accountId: string

  @PrimaryColumn('text')
  key: string

  @Column('text')
  tenantId: string

  /** The encryption key that it is sealed with. */
  @Column('text')
  keyId: string

  @Column('bytea')
  sealed: Buffer

  @Column('timestamptz')
  createdAt: Date

  @Column('timestamptz')
  updatedAt: Date
}
