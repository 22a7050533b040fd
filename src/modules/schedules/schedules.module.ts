import { Module } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { AuditModule } from '../audit/audit.module.js'
import { JobsModule } from '../jobs/jobs.module.js'
import { DueSchedules } from './due-schedules.js'
import { SchedulesOfFlows } from './flow-schedules.js'
import { Schedule } from './schedule.entity.js'
import { ScheduleHistory } from './schedule-history.js'
import { SchedulesService } from './schedules.service.js'

/** What schedules there are. When they are fired is the `ScheduleWorker`'s, which the runs module hosts. */
@Module({
  imports: [TypeOrmModule.forFeature([Schedule]), AuditModule, JobsModule],
  providers: [SchedulesService, SchedulesOfFlows, ScheduleHistory, DueSchedules],
  exports: [SchedulesService, SchedulesOfFlows, DueSchedules],
})
export class SchedulesModule {}
