import { Body, Delete, Get, Param, Post, Put, Query } from '@nestjs/common'
import { Flow8PageQuery, placeOf } from '../../../dialects/flow8.paging.js'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { type Expected, IdempotencyKey, IfMatch } from '../../../platform/http/headers.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { SchedulesService } from '../schedules.service.js'
import {
  Flow8NewSchedule,
  Flow8Schedule,
  Flow8ScheduleChange,
  Flow8ScheduleList,
  inFlow8Words,
  toNewSchedule,
  toSchedule,
  toScheduleChange,
  toScheduleList,
} from './schedules.dto.js'

@SurfaceController({
  surface: 'flow8',
  path: 'api/schedules',
  resource: 'Schedules',
  about: 'What starts a flow or a job at the times of a cron expression.',
})
@PathParam('id', "The schedule's id.", 'schedule-123')
export class Flow8SchedulesController {
  constructor(private readonly schedules: SchedulesService) {}

  @Get()
  @Summary('List schedules', "The caller's schedules, oldest first; those that flows have made are among them.")
  @Answers(Flow8ScheduleList, { description: 'One page of schedules' })
  async list(@Caller() caller: Principal, @Query() query: Flow8PageQuery): Promise<Flow8ScheduleList> {
    return toScheduleList(await this.schedules.page(caller, placeOf(query)), query)
  }

  @Get(':id')
  @Summary('Get a schedule', 'The schedule, with when it last started a play and when it next will.')
  @Answers(Flow8Schedule, { description: 'The schedule', version: 'updatedAt' })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<Flow8Schedule> {
    return toSchedule(await this.schedules.get(caller, id))
  }

  @Post()
  @Roles(...WRITERS)
  @Summary(
    'Create a schedule',
    'It starts a play of the flow, or a run of the job, for each of its slots, once, however many processes there are. Either flowId or jobId says what, either cron or every says when.',
  )
  @Answers(Flow8Schedule, {
    status: 201,
    description: 'The schedule',
    location: '/api/schedules/{id}',
    version: 'updatedAt',
  })
  @Problems('not_found')
  async create(
    @Caller() caller: Principal,
    @Body() body: Flow8NewSchedule,
    @IdempotencyKey() key?: string,
  ): Promise<Flow8Schedule> {
    return toSchedule(await inFlow8Words(() => this.schedules.create(caller, toNewSchedule(body), key)))
  }

  @Put(':id')
  @Roles(...WRITERS)
  @Summary(
    'Update a schedule',
    'What is left out stays as it is. A new rhythm counts from now on, and so does a schedule that is not paused any more.',
  )
  @Answers(Flow8Schedule, { description: 'The schedule', version: 'updatedAt' })
  async update(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: Flow8ScheduleChange,
    @IfMatch() expected: Expected,
  ): Promise<Flow8Schedule> {
    return toSchedule(await inFlow8Words(() => this.schedules.update(caller, id, toScheduleChange(body), expected)))
  }

  @Delete(':id')
  @Roles(...WRITERS)
  @Summary('Delete a schedule', 'It starts nothing any more. Plays that it has started go on and stay readable.')
  @Answers(null, { description: 'The schedule is deleted' })
  async delete(@Caller() caller: Principal, @Param('id') id: string): Promise<void> {
    await this.schedules.remove(caller, id)
  }
}
