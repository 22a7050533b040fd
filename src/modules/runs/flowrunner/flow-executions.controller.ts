import { Body, Param, Post } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { IdempotencyKey } from '../../../platform/http/headers.js'
import { Audited } from '../../../platform/http/refused-calls.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { RunsService } from '../runs.service.js'
import { FlowRunnerAcceptedExecution, FlowRunnerRunRequest, toAccepted } from './executions.dto.js'
import * as examples from './executions.examples.js'

@SurfaceController({ surface: 'flowRunner', path: 'api/v1/flows', resource: 'Flows' })
@PathParam('id', "The flow's id.", 'flow-123')
export class FlowRunnerFlowExecutionsController {
  constructor(private readonly runs: RunsService) {}

  @Post(':id/run')
  @Audited('run.start')
  @Roles(...WRITERS)
  @Summary(
    'Run a flow',
    'Accepts an execution and answers at once. Once answered it is durable: it survives restarts and ends in exactly one final status. With an Idempotency-Key that was used for this flow before, answers with that execution. A flow that is disabled is a conflict.',
  )
  @Answers(FlowRunnerAcceptedExecution, {
    status: 201,
    description: 'The execution is accepted',
    location: '/api/v1/executions/{execution_id}',
    example: examples.accepted,
  })
  @Problems('conflict')
  async run(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: FlowRunnerRunRequest,
    @IdempotencyKey() key?: string,
  ): Promise<FlowRunnerAcceptedExecution> {
    return toAccepted(await this.runs.accept(caller, id, body.input ?? {}, { idempotencyKey: key }))
  }
}
