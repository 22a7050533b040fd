import { All, Param, Req, Res } from '@nestjs/common'
import { ApiExcludeController } from '@nestjs/swagger'
import type { Request, Response } from 'express'
import { IdempotencyKey } from '../../../platform/http/headers.js'
import { CountsItself } from '../../../platform/http/rate-limit.guard.js'
import { Public, SurfaceController } from '../../../platform/openapi/operations.js'
import { ChannelRequests } from './channel-requests.js'

/**
 * Everything below `/channels/{id}`: paths of the channels' own making, which no document describes. Public here, because channels ask for
 * tokens of their own.
 */
@SurfaceController({
  surface: 'flow8',
  path: 'channels',
  resource: 'Channel requests',
  about: "What others call; the token is the channel's.",
})
@ApiExcludeController()
@Public()
@CountsItself()
export class Flow8ChannelRequestsController {
  constructor(private readonly requests: ChannelRequests) {}

  @All([':channelId', ':channelId/*below'])
  async serve(
    @Param('channelId') channelId: string,
    @Req() request: Request,
    @Res() response: Response,
    @IdempotencyKey() key?: string,
  ): Promise<void> {
    await this.requests.serve(channelId, request, response, key)
  }
}
