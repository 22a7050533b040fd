import { Body, Get, Param, Post, Query, Req, Res } from '@nestjs/common'
import type { Request, Response } from 'express'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { IdempotencyWord, LastEventId } from '../../../platform/http/headers.js'
import { Audited } from '../../../platform/http/refused-calls.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { JobRuns } from './job-runs.js'
import { goneOf, markReplay } from './run-answers.js'
import { FlwdRunStreams } from './run-streams.js'
import {
  FlwdCancelledRun,
  FlwdLogEntry,
  FlwdNewRun,
  FlwdRun,
  FlwdRunList,
  FlwdRunLogs,
  FlwdRunLogsQuery,
  FlwdRunsQuery,
  toCreated,
  toRun,
  toRunList,
} from './runs.dto.js'
import * as examples from './runs.examples.js'

@SurfaceController({
  surface: 'flwd',
  path: 'api/v1/runs',
  resource: 'Runs',
  about: 'Single executions of jobs and of all other flows.',
})
@PathParam('run_id', "The run's id.", 'run_01HX...')
export class FlwdRunsController {
  constructor(
    private readonly jobRuns: JobRuns,
    private readonly streams: FlwdRunStreams,
  ) {}

  @Post()
  @Audited('run.start')
  @Roles(...WRITERS)
  @Summary(
    'Create a run',
    'Accepts a run of a job and answers at once; with `async: false` when it has ended, or after five minutes. Once accepted it is durable: it survives restarts and ends in exactly one final status. A job that fails is no error of this request: its run has the status `failed`. Faults of the arguments are told by argument. With an Idempotency-Key that the caller used for this job before, answers with that run and `Idempotent-Replay: true`.',
  )
  @Answers(FlwdRun, {
    status: 201,
    description: 'The run',
    location: '/api/v1/runs/{run_id}',
    example: examples.createdRun,
  })
  @Problems('not_found', 'conflict')
  async create(
    @Caller() caller: Principal,
    @Body() body: FlwdNewRun,
    @Res({ passthrough: true }) response: Response,
    @IdempotencyWord() key?: string,
  ): Promise<FlwdRun> {
    return toCreated(markReplay(response, await this.jobRuns.create(caller, body, key, goneOf(response))))
  }

  @Get()
  @Summary('List runs', "The caller's runs, newest first: of jobs, and of all other flows.")
  @Answers(FlwdRunList, { description: 'One page of runs', example: examples.runList })
  async list(@Caller() caller: Principal, @Query() query: FlwdRunsQuery): Promise<FlwdRunList> {
    return toRunList(await this.jobRuns.page(caller, query))
  }

  @Get(':run_id')
  @Summary('Get a run', 'How it stands, its arguments, and once it has ended its result or its error.')
  @Answers(FlwdRun, { description: 'The run', example: examples.run })
  async get(@Caller() caller: Principal, @Param('run_id') id: string): Promise<FlwdRun> {
    return toRun(await this.jobRuns.get(caller, id))
  }

  @Post(':run_id/cancel')
  @Audited('run.cancel')
  @Roles(...WRITERS)
  @Summary(
    'Cancel a run',
    'Ends it at once, with all runs below it. Its processes are asked to end and then killed, with all that they have started. A run that has ended is a conflict.',
  )
  @Answers(FlwdCancelledRun, { description: 'The run is cancelled', example: examples.cancelledRun })
  @Problems('conflict')
  async cancel(@Caller() caller: Principal, @Param('run_id') id: string): Promise<FlwdCancelledRun> {
    await this.jobRuns.cancel(caller, id)
    return { run_id: id, status: 'cancelled' }
  }

  @Get(':run_id/logs')
  @Summary(
    "Get a run's logs",
    'What it wrote so far, oldest first, secrets masked. With `follow=true` a stream of server-sent events, `event: log` with one line as data: what is there and what comes, until the run has ended. The `id` of a line is its place in the run; the stream goes on behind the one that `Last-Event-ID` names.',
  )
  @Answers(FlwdRunLogs, {
    description:
      'One page of lines, or with `follow=true` the stream; there the schema is that of the data of each event',
    stream: FlwdLogEntry,
    examples: { 'application/json': examples.logs, 'text/event-stream': examples.logLine },
  })
  async logs(
    @Caller() caller: Principal,
    @Param('run_id') id: string,
    @Query() query: FlwdRunLogsQuery,
    @Req() request: Request,
    @Res() response: Response,
    @LastEventId() lastEventId?: string,
  ): Promise<void> {
    await this.streams.tellLogs(caller, id, query, lastEventId, request, response)
  }
}
