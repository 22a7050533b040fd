import { Body, Param, Post } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { IdempotencyKey } from '../../../platform/http/headers.js'
import { Audited } from '../../../platform/http/refused-calls.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { RestartsService } from '../lineage/restarts.service.js'
import { FlowRunnerAcceptedExecution, toAccepted } from './executions.dto.js'
import * as examples from './executions.examples.js'
import {
  FlowRunnerRedrive,
  FlowRunnerRedriveRequest,
  FlowRunnerReplayRequest,
  FlowRunnerResumeRequest,
  toRedrive,
  toReplay,
} from './restarts.dto.js'

/** Executions that go on from earlier ones. The reference leaves starting again unsaid. */
@SurfaceController({ surface: 'flowRunner', path: 'api/v1/executions', resource: 'Executions' })
@PathParam('id', "The earlier execution's id.", 'exec-123')
export class FlowRunnerRestartsController {
  constructor(private readonly restarts: RestartsService) {}

  @Post('redrive')
  @Audited('run.redrive')
  @Roles(...WRITERS)
  @Summary(
    'Redrive dead letters',
    "Resumes the caller's executions that were given up because their processes ended again and again. Each goes on as a new execution.",
  )
  @Answers(FlowRunnerRedrive, { description: 'What became of each', example: examples.redrive })
  async redrive(@Caller() caller: Principal, @Body() body: FlowRunnerRedriveRequest): Promise<FlowRunnerRedrive> {
    const filter = { ids: body.ids, flowId: body.flow_id, limit: body.limit }
    return toRedrive(await this.restarts.redrive(caller, filter))
  }

  @Post(':id/resume')
  @Audited('run.resume')
  @Roles(...WRITERS)
  @Summary(
    'Resume an execution',
    'Goes on, as a new execution of the same version, where one failed or was cancelled: what had succeeded is taken over, and the node that it stopped at repeats under the same idempotency keys. An execution is resumed once; after that the newer one is. That of a job needs its secrets again.',
  )
  @Answers(FlowRunnerAcceptedExecution, {
    status: 201,
    description: 'The new execution is accepted',
    location: '/api/v1/executions/{execution_id}',
    example: examples.resumed,
  })
  @Problems('conflict')
  async resume(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: FlowRunnerResumeRequest,
    @IdempotencyKey() key?: string,
  ): Promise<FlowRunnerAcceptedExecution> {
    return toAccepted(await this.restarts.resume(caller, id, body, key))
  }

  @Post(':id/replay')
  @Audited('run.replay')
  @Roles(...WRITERS)
  @Summary(
    'Replay an execution',
    'Does an execution that has ended again, as a new one, from any node on its way: outcomes before that are taken over, everything else is done anew under new idempotency keys, if asked for by another version of the flow.',
  )
  @Answers(FlowRunnerAcceptedExecution, {
    status: 201,
    description: 'The new execution is accepted',
    location: '/api/v1/executions/{execution_id}',
    example: examples.resumed,
  })
  @Problems('conflict')
  async replay(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: FlowRunnerReplayRequest,
    @IdempotencyKey() key?: string,
  ): Promise<FlowRunnerAcceptedExecution> {
    return toAccepted(await this.restarts.replay(caller, id, toReplay(body), key))
  }
}
