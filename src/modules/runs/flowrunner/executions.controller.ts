import { Delete, Get, Param, Query } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { Audited } from '../../../platform/http/refused-calls.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { RunsService } from '../runs.service.js'
import {
  FlowRunnerExecution,
  FlowRunnerExecutionList,
  FlowRunnerExecutionMessage,
  FlowRunnerExecutionsQuery,
  FlowRunnerLogs,
  FlowRunnerLogsQuery,
  toExecution,
  toExecutionList,
  toFilter,
  toLogs,
} from './executions.dto.js'
import * as examples from './executions.examples.js'

@SurfaceController({
  surface: 'flowRunner',
  path: 'api/v1/executions',
  resource: 'Executions',
  about: 'Single executions of a flow, with their logs.',
})
@PathParam('id', "The execution's id.", 'exec-123')
export class FlowRunnerExecutionsController {
  constructor(private readonly runs: RunsService) {}

  @Get()
  @Summary('List executions', "The caller's executions, newest first.")
  @Answers(FlowRunnerExecutionList, { description: 'One page of executions', example: examples.executionList })
  async list(@Caller() caller: Principal, @Query() query: FlowRunnerExecutionsQuery): Promise<FlowRunnerExecutionList> {
    return toExecutionList(await this.runs.page(caller, toFilter(query), query.limit, query.offset), query)
  }

  @Get(':id')
  @Summary('Get an execution', 'How it stands, what it was given, and once it has ended its result or its error.')
  @Answers(FlowRunnerExecution, { description: 'The execution', example: examples.execution })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<FlowRunnerExecution> {
    return toExecution(await this.runs.get(caller, id))
  }

  @Delete(':id')
  @Audited('run.cancel')
  @Roles(...WRITERS)
  @Summary(
    'Cancel an execution',
    'Ends it at once, with all executions below it: requests in flight are aborted and scripts are stopped. An execution that has ended is a conflict.',
  )
  @Answers(FlowRunnerExecutionMessage, {
    description: 'The execution is cancelled',
    example: examples.cancelledExecution,
  })
  @Problems('conflict')
  async cancel(@Caller() caller: Principal, @Param('id') id: string): Promise<FlowRunnerExecutionMessage> {
    await this.runs.cancel(caller, id)
    return { message: 'Execution cancelled successfully' }
  }

  @Get(':id/logs')
  @Summary("Get an execution's logs", 'What happened so far, oldest first, secrets masked.')
  @Answers(FlowRunnerLogs, { description: 'One page of log lines', example: examples.logs })
  async logs(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: FlowRunnerLogsQuery,
  ): Promise<FlowRunnerLogs> {
    return toLogs(await this.runs.logs(caller, id, { level: query.level }, query.limit, query.offset), query)
  }
}
