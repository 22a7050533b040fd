import { Body, Delete, Get, Param, Post, Put, Query } from '@nestjs/common'
import { Flow8PageQuery, pageOf, placeOf } from '../../dialects/flow8.paging.js'
import { Caller } from '../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../platform/auth/principal.js'
import { Roles } from '../../platform/auth/roles.js'
import { type Expected, IfMatch } from '../../platform/http/headers.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../platform/openapi/operations.js'
import {
  Flow8ChannelRoute,
  Flow8ChannelRouteChange,
  Flow8ChannelRoutePage,
  Flow8NewChannelRoute,
  toRoute,
} from './channels.dto.js'
import { ChannelsService } from './channels.service.js'

@SurfaceController({
  surface: 'flow8',
  path: 'api/channels/:id/routes',
  resource: 'Channel routes',
  about: 'Which flows a message to a channel starts.',
})
@PathParam('id', "The channel's id.", '65abc126')
@PathParam('routeId', "The route's id.", 'route_01HX3YB1V7Q8G4Z9T5W2K6M0NP')
export class Flow8ChannelRoutesController {
  constructor(private readonly channels: ChannelsService) {}

  @Get()
  @Summary("List a channel's routes", 'Oldest first.')
  @Answers(Flow8ChannelRoutePage, { description: 'One page of routes' })
  async list(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: Flow8PageQuery,
  ): Promise<Flow8ChannelRoutePage> {
    const { routes } = await this.channels.get(caller, id)
    const { limit, offset } = placeOf(query)
    return pageOf(routes.slice(offset, offset + limit).map(toRoute), routes.length, query)
  }

  @Get(':routeId')
  @Summary('Get a route', 'One route of the channel.')
  @Answers(Flow8ChannelRoute, { description: 'The route', version: 'updatedAt' })
  async get(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Param('routeId') routeId: string,
  ): Promise<Flow8ChannelRoute> {
    return toRoute(await this.channels.route(caller, id, routeId))
  }

  @Post()
  @Roles(...WRITERS)
  @Problems('conflict')
  @Summary(
    'Add a route',
    'Refused where the channel has a route of this name, this method and path, or this tool name.',
  )
  @Answers(Flow8ChannelRoute, {
    status: 201,
    description: 'The route',
    location: '/api/channels/{channelId}/routes/{id}',
    version: 'updatedAt',
  })
  async create(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: Flow8NewChannelRoute,
  ): Promise<Flow8ChannelRoute> {
    return toRoute(await this.channels.addRoute(caller, id, body))
  }

  @Put(':routeId')
  @Roles(...WRITERS)
  @Problems('conflict')
  @Summary('Update a route', 'What is left out stays as it is.')
  @Answers(Flow8ChannelRoute, { description: 'The route', version: 'updatedAt' })
  async update(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Param('routeId') routeId: string,
    @Body() body: Flow8ChannelRouteChange,
    @IfMatch() expected: Expected,
  ): Promise<Flow8ChannelRoute> {
    return toRoute(await this.channels.updateRoute(caller, id, routeId, body, expected))
  }

  @Delete(':routeId')
  @Roles(...WRITERS)
  @Summary('Delete a route', 'Requests to it are answered 404 from then on.')
  @Answers(null, { description: 'The route is deleted' })
  async delete(@Caller() caller: Principal, @Param('id') id: string, @Param('routeId') routeId: string): Promise<void> {
    await this.channels.removeRoute(caller, id, routeId)
  }
}
