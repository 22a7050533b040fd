import { Get, Query, Req, Res } from '@nestjs/common'
import type { Request, Response } from 'express'
import { Caller } from '../../../platform/auth/caller.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { LastEventId } from '../../../platform/http/headers.js'
import { Answers, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { FlwdRunEvent, FlwdRunEventsQuery } from './run-events.dto.js'
import * as examples from './run-events.examples.js'
import { FlwdRunStreams } from './run-streams.js'

@SurfaceController({
  surface: 'flwd',
  path: 'api/v1/events',
  resource: 'Events',
  about: 'What happens to runs, as server-sent events.',
})
export class FlwdRunEventsController {
  constructor(private readonly streams: FlwdRunStreams) {}

  @Get('runs')
  @Summary(
    'Follow the events of runs',
    'Server-sent events of all runs of the caller as they happen: `run.created`, `run.started`, `run.output`, `run.finished`, `step.started`, `step.output` and `step.finished`, each with an `id` that grows, and one JSON object as data. The stream begins with what happens from now on, or behind the event that `Last-Event-ID` names: nothing is lost or repeated then, also across restarts and processes. With `run_id` it begins with the first event of that run and ends after its `run.finished`. A comment comes every 15 seconds. An error after the first byte is `event: error` with a problem document as data, and ends the stream. 410: events behind the cursor were removed.',
  )
  @Answers(FlwdRunEvent, {
    description: 'The events; the schema is that of the data of each',
    contentType: 'text/event-stream',
    example: examples.runEvent,
  })
  @Problems('gone', 'not_found')
  async runs(
    @Caller() caller: Principal,
    @Query() query: FlwdRunEventsQuery,
    @Req() request: Request,
    @Res() response: Response,
    @LastEventId() lastEventId?: string,
  ): Promise<void> {
    await this.streams.tellAll(caller, query, lastEventId, request, response)
  }
}
