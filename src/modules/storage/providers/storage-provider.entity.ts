import { Column, Entity, PrimaryColumn } from 'typeorm'
import type { ProviderType } from '../provider-settings.js'

/** An object store that a tenant has been told of. The embedded one has no row. */
@Entity()
export class StorageProvider {
  @PrimaryColumn('text')
  id: string

  @Column('text')
  tenantId: string

  @Column('text')
  name: string

  /** For good. */
  @Column('text')
  type: ProviderType

  /** A URL: scheme, host, port, and a path where Azure needs one. */
  @Column('text')
  endpoint: string

  @Column('text', { nullable: true })
  region: string | null

  /** For tests of the connection; null where a test makes one of its own. */
  @Column('text', { nullable: true })
  bucket: string | null

  /** Which of its credentials are set. */
  @Column('text', { array: true })
  credentialNames: string[]

  /** The encryption key that they are sealed with. */
  @Column('text')
  keyId: string

  @Column('bytea')
  sealed: Buffer

  @Column('boolean')
  isDefault: boolean

  @Column('timestamptz')
  createdAt: Date

  @Column('timestamptz')
  updatedAt: Date
}
