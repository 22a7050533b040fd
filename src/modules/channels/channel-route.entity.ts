import { Column, Entity, PrimaryColumn } from 'typeorm'

export const HTTP_METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

export type HttpMethod = (typeof HTTP_METHODS)[number]

/** `sync` answers with what the flows come to, `async` at once. */
export const RESPONSE_MODES = ['sync', 'async'] as const

export type ResponseMode = (typeof RESPONSE_MODES)[number]

/** What a channel does with one kind of request: the flows that it starts, and whether the caller waits for them. */
@Entity()
export class ChannelRoute {
  @PrimaryColumn('text')
  id: string

  @Column('text')
  channelId: string

  /** Unique in its channel; WebSocket messages name their route by it. */
  @Column('text')
  name: string

  @Column('text', { nullable: true })
  httpMethod: HttpMethod | null

  /** Such as `/orders/{id}`, below the channel's own path. */
  @Column('text', { nullable: true })
  path: string | null

  /** The path without the names of its parameters: with the method it is unique in its channel. */
  @Column('text', { nullable: true })
  shape: string | null

  @Column('text', { array: true })
  targetFlowIds: string[]

  @Column('text')
  responseMode: ResponseMode

  /** How long a caller waits at most. */
  @Column('integer')
  timeoutSeconds: number

  /** What MCP clients call it by. */
  @Column('text', { nullable: true })
  toolName: string | null

  @Column('timestamptz')
  createdAt: Date

  @Column('timestamptz')
  updatedAt: Date
}
