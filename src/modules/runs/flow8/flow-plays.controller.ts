import { Body, Param, Post } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { IdempotencyKey } from '../../../platform/http/headers.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { RunsService } from '../runs.service.js'
import { Flow8AcceptedPlay, Flow8RunRequest, toAcceptedPlay, toStart } from './plays.dto.js'
import * as examples from './plays.examples.js'

@SurfaceController({ surface: 'flow8', path: 'api/flows', resource: 'Flows' })
@PathParam('id', "The flow's id.", 'flow-123')
export class Flow8FlowPlaysController {
  constructor(private readonly runs: RunsService) {}

  @Post(':id/run')
  @Roles(...WRITERS)
  @Summary(
    'Run a flow',
    'Accepts a play and answers at once. Once answered it is durable: it survives restarts and ends in exactly one final state. A flow that is disabled is a conflict unless `force` is true.',
  )
  @Answers(Flow8AcceptedPlay, {
    status: 201,
    description: 'The play is accepted',
    location: '/api/plays/{playId}',
    example: examples.accepted,
  })
  @Problems('conflict')
  async run(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: Flow8RunRequest,
    @IdempotencyKey() key?: string,
  ): Promise<Flow8AcceptedPlay> {
    return toAcceptedPlay(await this.runs.accept(caller, id, body.args ?? {}, toStart(body, key)))
  }
}
