import { Body, Delete, Get, Param, Post, Put, Query } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { type Expected, IfMatch } from '../../../platform/http/headers.js'
import { Answers, PathParam, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { FlowsService } from '../flows.service.js'
import {
  FlowRunnerFlow,
  FlowRunnerFlowChange,
  FlowRunnerFlowDetails,
  FlowRunnerFlowList,
  FlowRunnerFlowMessage,
  FlowRunnerFlowsQuery,
  FlowRunnerNewFlow,
  toFlow,
  toFlowDetails,
  toFlowList,
} from './flows.dto.js'
import * as examples from './flows.examples.js'

@SurfaceController({
  surface: 'flowRunner',
  path: 'api/v1/flows',
  resource: 'Flows',
  about: 'What is run: nodes and the edges between them, in YAML.',
})
@PathParam('id', "The flow's id.", 'flow-123')
export class FlowRunnerFlowsController {
  constructor(private readonly flows: FlowsService) {}

  @Get()
  @Summary('List flows', "The caller's flows, oldest first.")
  @Answers(FlowRunnerFlowList, { description: 'One page of flows', example: examples.flowList })
  async list(@Caller() caller: Principal, @Query() query: FlowRunnerFlowsQuery): Promise<FlowRunnerFlowList> {
    return toFlowList(await this.flows.page(caller, query), query)
  }

  @Get(':id')
  @Summary('Get a flow', 'The flow with its current definition.')
  @Answers(FlowRunnerFlowDetails, {
    description: 'The flow',
    version: 'updated_at',
    example: examples.flowDetails,
  })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<FlowRunnerFlowDetails> {
    return toFlowDetails(await this.flows.getWithDefinition(caller, id))
  }

  @Post()
  @Roles(...WRITERS)
  @Summary(
    'Create a flow',
    'Checks the definition and keeps it as the first revision. An invalid one is refused with every fault, each with its place in the text.',
  )
  @Answers(FlowRunnerFlow, {
    status: 201,
    description: 'The flow',
    location: '/api/v1/flows/{id}',
    version: 'updated_at',
    example: examples.flow,
  })
  async create(@Caller() caller: Principal, @Body() body: FlowRunnerNewFlow): Promise<FlowRunnerFlow> {
    return toFlow(await this.flows.create(caller, body))
  }

  @Put(':id')
  @Roles(...WRITERS)
  @Summary(
    'Update a flow',
    'What is left out stays as it is. A definition becomes a new revision; running executions stay with theirs.',
  )
  @Answers(FlowRunnerFlow, { description: 'The flow', version: 'updated_at', example: examples.updatedFlow })
  async update(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: FlowRunnerFlowChange,
    @IfMatch() expected: Expected,
  ): Promise<FlowRunnerFlow> {
    return toFlow(await this.flows.update(caller, id, body, expected))
  }

  @Delete(':id')
  @Roles(...WRITERS)
  @Summary('Delete a flow', 'Nothing starts it any more. Executions that run go on to their end and stay readable.')
  @Answers(FlowRunnerFlowMessage, { description: 'The flow is deleted', example: examples.deletedFlow })
  async delete(@Caller() caller: Principal, @Param('id') id: string): Promise<FlowRunnerFlowMessage> {
    await this.flows.remove(caller, id)
    return { message: 'Flow deleted successfully' }
  }
}
