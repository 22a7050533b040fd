import { Body, Delete, Get, Param, Post, Put, Query } from '@nestjs/common'
import { placeOf } from '../../../dialects/flow8.paging.js'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { type Expected, IfMatch } from '../../../platform/http/headers.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { LayeredFlows } from '../layered-flows.service.js'
import {
  Flow8Flow,
  Flow8FlowChange,
  Flow8FlowList,
  Flow8FlowsQuery,
  Flow8NewFlow,
  toFlow,
  toFlowList,
} from './flows.dto.js'

@SurfaceController({
  surface: 'flow8',
  path: 'api/flows',
  resource: 'Flows',
  about: 'What is run: layers in their order.',
})
@PathParam('id', "The flow's id.", 'flow-123')
export class Flow8FlowsController {
  constructor(private readonly flows: LayeredFlows) {}

  @Get()
  @Summary('List flows', "The caller's flows, oldest first, whichever API they were made through.")
  @Answers(Flow8FlowList, { description: 'One page of flows' })
  async list(@Caller() caller: Principal, @Query() query: Flow8FlowsQuery): Promise<Flow8FlowList> {
    return toFlowList(await this.flows.page(caller, { ...query, ...placeOf(query) }), query)
  }

  @Get(':id')
  @Summary(
    'Get a flow',
    'The flow with its layers. A flow that was written in YAML shows its nodes, while they are a plain chain.',
  )
  @Answers(Flow8Flow, { description: 'The flow', version: 'updatedAt' })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<Flow8Flow> {
    return toFlow(await this.flows.get(caller, id))
  }

  @Post()
  @Roles(...WRITERS)
  @Summary(
    'Create a flow',
    'With its layers, or empty. Layers with faults are refused with all of them, each with its place.',
  )
  @Answers(Flow8Flow, {
    status: 201,
    description: 'The flow',
    location: '/api/flows/{id}',
    version: 'updatedAt',
  })
  @Problems('conflict')
  async create(@Caller() caller: Principal, @Body() body: Flow8NewFlow): Promise<Flow8Flow> {
    return toFlow(await this.flows.create(caller, body))
  }

  @Put(':id')
  @Roles(...WRITERS)
  @Summary(
    'Update a flow',
    'What is left out stays as it is. Plays that are under way stay with the layers that they began with.',
  )
  @Answers(Flow8Flow, { description: 'The flow', version: 'updatedAt' })
  @Problems('conflict')
  async update(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: Flow8FlowChange,
    @IfMatch() expected: Expected,
  ): Promise<Flow8Flow> {
    return toFlow(await this.flows.update(caller, id, body, expected))
  }

  @Delete(':id')
  @Roles(...WRITERS)
  @Summary(
    'Delete a flow',
    'Nothing starts it any more. Plays that are under way go on to their end and stay readable.',
  )
  @Answers(null, { description: 'The flow is deleted' })
  async delete(@Caller() caller: Principal, @Param('id') id: string): Promise<void> {
    await this.flows.remove(caller, id)
  }
}
