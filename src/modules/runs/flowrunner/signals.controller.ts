import { Body, Param, Post } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { Answers, PathParam, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { RunsService } from '../runs.service.js'
import { FlowRunnerSignal, FlowRunnerSignalDelivery, toDelivery } from './signals.dto.js'

/** How the event that a `wait` node with a key waits for comes in. The reference names the node and leaves the way open. */
@SurfaceController({
  surface: 'flowRunner',
  path: 'api/v1/signals',
  resource: 'Signals',
  about: 'Events from outside for executions that wait.',
})
@PathParam('key', 'The key that `wait` nodes name.', 'order-123', { anyValue: true })
export class FlowRunnerSignalsController {
  constructor(private readonly runs: RunsService) {}

  @Post(':key')
  @Roles(...WRITERS)
  @Summary(
    'Send a signal',
    "Continues every execution of the caller's flows that waits for this key. One that nobody waits for yet is kept for the next wait.",
  )
  @Answers(FlowRunnerSignalDelivery, { description: 'What became of the signal' })
  async send(
    @Caller() caller: Principal,
    @Param('key') key: string,
    @Body() body: FlowRunnerSignal,
  ): Promise<FlowRunnerSignalDelivery> {
    return toDelivery(key, await this.runs.signal(caller, key, body.data ?? null))
  }
}
