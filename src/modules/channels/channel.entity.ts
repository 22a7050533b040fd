import { Column, Entity, PrimaryColumn } from 'typeorm'

/** What a channel is spoken to by. */
export const CHANNEL_KINDS = ['http', 'websocket', 'mcp'] as const

export type ChannelKind = (typeof CHANNEL_KINDS)[number]

/** Who may speak to it: everybody, or who carries its token in a header. */
export const AUTH_MODES = ['public', 'header_token'] as const

export type AuthMode = (typeof AUTH_MODES)[number]

/** A way in for callers who have no account here: what they send starts its account's flows. */
@Entity()
export class Channel {
  @PrimaryColumn('text')
  id: string

  @Column('text')
  tenantId: string

  @Column('text')
  accountId: string

  @Column('text')
  name: string

  @Column('text')
  kind: ChannelKind

  @Column('text')
  authMode: AuthMode

  /** SHA-256 of the channel's id and its token; null where it has none. The token itself is nowhere. */
  @Column('bytea', { nullable: true })
  tokenHash: Buffer | null

  /** While it is not, it looks as if it did not exist. */
  @Column('boolean')
  enabled: boolean

  @Column('timestamptz')
  createdAt: Date

  /** Of the channel or of one of its routes. */
  @Column('timestamptz')
  updatedAt: Date
}
