import { Body, Delete, Get, Param, Post, Put, Query } from '@nestjs/common'
import { Flow8PageQuery, pageOf, placeOf } from '../../dialects/flow8.paging.js'
import { Caller } from '../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../platform/auth/principal.js'
import { Roles } from '../../platform/auth/roles.js'
import { type Expected, IfMatch } from '../../platform/http/headers.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../platform/openapi/operations.js'
import { Flow8Channel, Flow8ChannelChange, Flow8ChannelPage, Flow8NewChannel, toChannel } from './channels.dto.js'
import { ChannelsService } from './channels.service.js'

@SurfaceController({
  surface: 'flow8',
  path: 'api/channels',
  resource: 'Channels',
  about: 'Ways for others to call flows: HTTP, WebSocket, MCP.',
})
@PathParam('id', "The channel's id.", '65abc126')
export class Flow8ChannelsController {
  constructor(private readonly channels: ChannelsService) {}

  @Get()
  @Summary('List channels', "The caller's channels with their routes, oldest first.")
  @Answers(Flow8ChannelPage, { description: 'One page of channels' })
  async list(@Caller() caller: Principal, @Query() query: Flow8PageQuery): Promise<Flow8ChannelPage> {
    const { channels, total } = await this.channels.page(caller, placeOf(query))
    return pageOf(channels.map(toChannel), total, query)
  }

  @Get(':id')
  @Summary('Get a channel', 'The channel with its routes. Its token is not told.')
  @Answers(Flow8Channel, { description: 'The channel', version: 'updatedAt' })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<Flow8Channel> {
    return toChannel(await this.channels.get(caller, id))
  }

  @Post()
  @Roles(...WRITERS)
  @Problems('conflict')
  @Summary(
    'Create a channel',
    'From then on requests to it start the flows of its routes, in the name of the account. A token that is made up is in this answer and in no other.',
  )
  @Answers(Flow8Channel, {
    status: 201,
    description: 'The channel',
    location: '/api/channels/{id}',
    version: 'updatedAt',
  })
  async create(@Caller() caller: Principal, @Body() body: Flow8NewChannel): Promise<Flow8Channel> {
    return toChannel(await this.channels.create(caller, body))
  }

  @Put(':id')
  @Roles(...WRITERS)
  @Problems('conflict')
  @Summary('Update a channel', 'What is left out stays as it is. A new token ends the old one at once.')
  @Answers(Flow8Channel, { description: 'The channel', version: 'updatedAt' })
  async update(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: Flow8ChannelChange,
    @IfMatch() expected: Expected,
  ): Promise<Flow8Channel> {
    return toChannel(await this.channels.update(caller, id, body, expected))
  }

  @Delete(':id')
  @Roles(...WRITERS)
  @Summary('Delete a channel', 'With its routes. Plays that it started go on.')
  @Answers(null, { description: 'The channel is deleted' })
  async delete(@Caller() caller: Principal, @Param('id') id: string, @IfMatch() expected: Expected): Promise<void> {
    await this.channels.remove(caller, id, expected)
  }
}
