import { Injectable } from '@nestjs/common'
import type { Request, Response } from 'express'
import { RateLimitGuard } from '../../../platform/http/rate-limit.guard.js'
import { UnknownPath } from '../../../platform/http/refusals.js'
import type { ChannelKind } from '../channel.entity.js'
import { tokenIn } from '../channel-token.js'
import { ChannelDoor, type OpenChannel } from './channel-door.js'
import { HttpChannel } from './http-channel.js'
import { McpChannel } from './mcp-channel.js'

/**
 * Requests to channels. Who has entered counts against the channel, so that its callers share what it may take; who has not, against the
 * address that it came from.
 */
@Injectable()
export class ChannelRequests {
  constructor(
    private readonly door: ChannelDoor,
    private readonly limits: RateLimitGuard,
    private readonly http: HttpChannel,
    private readonly mcp: McpChannel,
  ) {}

  async serve(channelId: string, request: Request, response: Response, idempotencyKey?: string): Promise<void> {
    const channel = await this.door.enter(channelId, tokenIn(request.headers))
    await this.limits.count(request, response, countedAs(channel))
    const call = { path: pathBelow(request), request, response, idempotencyKey, gone: hangUp(response) }
    const serve: Record<ChannelKind, () => Promise<void>> = {
      http: () => this.http.serve(channel, call),
      mcp: () => this.mcp.serve(channel, call),
      websocket: () => Promise.reject(new UnknownPath(request.path)),
    }
    await serve[channel.kind]()
  }
}

/** Whom requests and messages to the channel are counted against. */
export function countedAs({ id }: Pick<OpenChannel, 'id'>): string {
  return `channel ${id}`
}

/** What stands behind `/channels/{id}`, exactly as it was sent. */
function pathBelow(request: Request): string {
  const [path = ''] = request.originalUrl.split('?')
  return path.replace(/^\/channels\/[^/]+/, '')
}

/** Aborts when the caller does not wait any more. */
function hangUp(response: Response): AbortSignal {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  return gone.signal
}
