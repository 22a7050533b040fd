import { Column, Entity, PrimaryColumn } from 'typeorm'
import type { Scope } from '../../platform/auth/scopes.js'

/** A token that programs act with in the place of an account. Its text is shown once, when it is made. */
@Entity()
export class ApiKey {
  @PrimaryColumn('text')
  id: string

  @Column('text')
  tenantId: string

  @Column('text')
  accountId: string

  /** What its owner calls it. */
  @Column('text')
  name: string

  @Column('text', { array: true })
  scopes: Scope[]

  /** SHA-256 of the token. */
  @Column('bytea')
  tokenHash: Buffer

  @Column('timestamptz')
  createdAt: Date

  /** Null: it counts until it is revoked. */
  @Column('timestamptz', { nullable: true })
  expiresAt: Date | null

  /** Give or take a minute. Null: never used. */
  @Column('timestamptz', { nullable: true })
  lastUsedAt: Date | null
}
