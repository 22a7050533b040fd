import type { Schema } from './document.js'
import type { SurfaceName } from './surface.js'

const CHANNEL = Symbol('channel')

/** One kind of message that a WebSocket sends. */
export interface ChannelMessage {
  /** The value of its member `type`. */
  type: string
  summary: string
  /** Its members besides `type`. */
  members: Record<string, Schema>
  /** Those of them that may be absent. */
  optional?: readonly string[]
  /** As the server would send it, `type` included. */
  example: Record<string, unknown>
}

/** What clients say on a WebSocket that listens. It has no `type`: there is one kind only. */
export interface ChannelRequest {
  /** What the document calls it, such as `call`. */
  name: string
  summary: string
  members: Record<string, Schema>
  optional?: readonly string[]
  example: Record<string, unknown>
}

/** A WebSocket of one documented API: all that the published AsyncAPI document knows of it. */
export interface ChannelOptions {
  surface: SurfaceName
  /** With Nest's `:id` for parameters, such as `/ws/executions/:execution_id`. */
  path: string
  /** What it tells, in lower camel case, such as `executionUpdates`. */
  name: string
  summary: string
  /** In which order messages come, and how the connection ends. */
  description: string
  params: Record<string, { description: string; example: string }>
  messages: readonly ChannelMessage[]
  /** On a WebSocket that listens. */
  request?: ChannelRequest
}

export function SurfaceChannel(options: ChannelOptions): ClassDecorator {
  return (target) => Reflect.defineMetadata(CHANNEL, options, target)
}

export function channelOf(target: object): ChannelOptions | undefined {
  return Reflect.getMetadata(CHANNEL, target)
}
