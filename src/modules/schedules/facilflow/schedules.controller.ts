import { Body, Delete, Get, Param, Post, Put, Query } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { type Expected, IdempotencyKey, IfMatch } from '../../../platform/http/headers.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { SchedulesService } from '../schedules.service.js'
import {
  FacilFlowComingSlots,
  FacilFlowNewSchedule,
  FacilFlowSchedule,
  FacilFlowScheduleChange,
  FacilFlowScheduleHistory,
  FacilFlowScheduleHistoryQuery,
  FacilFlowScheduleList,
  FacilFlowScheduleNextQuery,
  FacilFlowSchedulesQuery,
  toComingSlots,
  toHistory,
  toNewSchedule,
  toSchedule,
  toScheduleChange,
  toScheduleList,
} from './schedules.dto.js'

@SurfaceController({
  surface: 'facilflow',
  path: 'api/scheduler/schedules',
  resource: 'Scheduler',
  about: 'Schedules that start flows and jobs, and the slots that they had and will have.',
})
@PathParam('id', "The schedule's id.", 'schedule-123')
export class FacilFlowSchedulesController {
  constructor(private readonly schedules: SchedulesService) {}

  @Get()
  @Summary('List schedules', "The caller's schedules, oldest first; those that flows have made are among them.")
  @Answers(FacilFlowScheduleList, { description: 'The schedules' })
  async list(@Caller() caller: Principal, @Query() query: FacilFlowSchedulesQuery): Promise<FacilFlowScheduleList> {
    return toScheduleList(await this.schedules.page(caller, query))
  }

  @Get(':id')
  @Summary('Get a schedule', 'The schedule, with when it last started a run and when it next will.')
  @Answers(FacilFlowSchedule, { description: 'The schedule', version: 'updatedAt' })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<FacilFlowSchedule> {
    return toSchedule(await this.schedules.get(caller, id))
  }

  @Post()
  @Roles(...WRITERS)
  @Summary(
    'Create a schedule',
    'It starts a run of its target for each of its slots, once, however many processes there are. Either cron or every says when.',
  )
  @Answers(FacilFlowSchedule, {
    status: 201,
    description: 'The schedule',
    location: '/api/scheduler/schedules/{id}',
    version: 'updatedAt',
  })
  @Problems('not_found')
  async create(
    @Caller() caller: Principal,
    @Body() body: FacilFlowNewSchedule,
    @IdempotencyKey() key?: string,
  ): Promise<FacilFlowSchedule> {
    return toSchedule(await this.schedules.create(caller, toNewSchedule(body), key))
  }

  @Put(':id')
  @Roles(...WRITERS)
  @Summary(
    'Update a schedule',
    'What is left out stays as it is. A new rhythm counts from now on, and so does a schedule that is not paused any more.',
  )
  @Answers(FacilFlowSchedule, { description: 'The schedule', version: 'updatedAt' })
  async update(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: FacilFlowScheduleChange,
    @IfMatch() expected: Expected,
  ): Promise<FacilFlowSchedule> {
    return toSchedule(await this.schedules.update(caller, id, toScheduleChange(body), expected))
  }

  @Delete(':id')
  @Roles(...WRITERS)
  @Summary('Delete a schedule', 'It starts nothing any more. Runs that it has started go on and stay readable.')
  @Answers(null, { description: 'The schedule is deleted' })
  async delete(@Caller() caller: Principal, @Param('id') id: string): Promise<void> {
    await this.schedules.remove(caller, id)
  }

  @Get(':id/history')
  @Summary(
    'Execution history',
    'What became of each slot: the run that it started and how late, or why it started none. Kept as long as runs are.',
  )
  @Answers(FacilFlowScheduleHistory, { description: 'The slots of the past' })
  async history(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: FacilFlowScheduleHistoryQuery,
  ): Promise<FacilFlowScheduleHistory> {
    return toHistory(await this.schedules.past(caller, id, query))
  }

  @Get(':id/next')
  @Summary('Next runs', 'The slots to come, as the clocks of the time zone will show them.')
  @Answers(FacilFlowComingSlots, { description: 'The slots to come' })
  async next(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: FacilFlowScheduleNextQuery,
  ): Promise<FacilFlowComingSlots> {
    return toComingSlots(await this.schedules.coming(caller, id, query.count))
  }
}
