import { Body, Delete, Get, Param, Post, Put, Query } from '@nestjs/common'
import { Flow8PageQuery, placeOf } from '../../../dialects/flow8.paging.js'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { type Expected, IfMatch } from '../../../platform/http/headers.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { GroupsService } from '../groups.service.js'
import { Flow8Group, Flow8GroupChange, Flow8GroupList, Flow8NewGroup, toGroup, toGroupList } from './groups.dto.js'

@SurfaceController({
  surface: 'flow8',
  path: 'api/groups',
  resource: 'Groups',
  about: 'Flows that belong together, and who may work with them.',
})
@PathParam('id', "The group's id.", 'group-123')
export class Flow8GroupsController {
  constructor(private readonly groups: GroupsService) {}

  @Get()
  @Summary('List groups', "The caller's groups of flows, by their index and then by name.")
  @Answers(Flow8GroupList, { description: 'One page of groups' })
  async list(@Caller() caller: Principal, @Query() query: Flow8PageQuery): Promise<Flow8GroupList> {
    return toGroupList(await this.groups.page(caller, placeOf(query)), query)
  }

  @Post()
  @Roles(...WRITERS)
  @Problems('conflict')
  @Summary('Create a group', 'Its name must be free, and its members accounts of the same company.')
  @Answers(Flow8Group, {
    status: 201,
    description: 'The group',
    location: '/api/groups/{id}',
    version: 'updatedAt',
  })
  async create(@Caller() caller: Principal, @Body() body: Flow8NewGroup): Promise<Flow8Group> {
    return toGroup(await this.groups.create(caller, body))
  }

  @Get(':id')
  @Summary('Get a group', 'The group with its members.')
  @Answers(Flow8Group, { description: 'The group', version: 'updatedAt' })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<Flow8Group> {
    return toGroup(await this.groups.get(caller, id))
  }

  @Put(':id')
  @Roles(...WRITERS)
  @Problems('conflict')
  @Summary('Update a group', 'What is left out stays as it is.')
  @Answers(Flow8Group, { description: 'The group', version: 'updatedAt' })
  async update(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: Flow8GroupChange,
    @IfMatch() expected: Expected,
  ): Promise<Flow8Group> {
    return toGroup(await this.groups.update(caller, id, body, expected))
  }

  @Delete(':id')
  @Roles(...WRITERS)
  @Problems('conflict')
  @Summary(
    'Delete a group',
    'Refused while flows are in it: they would read other key-value entries without it. Its own entries go with it.',
  )
  @Answers(null, { description: 'The group is deleted' })
  async delete(@Caller() caller: Principal, @Param('id') id: string, @IfMatch() expected: Expected): Promise<void> {
    await this.groups.remove(caller, id, expected)
  }
}
