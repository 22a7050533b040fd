import { Module } from '@nestjs/common'
import { SchedulesService } from './schedules.service.js'

/** What schedules there are. Firing them is the `ScheduleWorker`'s, which the runs module hosts. */
@Module({ providers: [SchedulesService], exports: [SchedulesService] })
export class SchedulesModule {}
