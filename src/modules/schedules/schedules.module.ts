import { Module, type OnModuleInit } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { AccountDependents } from '../accounts/account-dependents.js'
import { AccountsModule } from '../accounts/accounts.module.js'
import { AuditModule } from '../audit/audit.module.js'
import { JobsModule } from '../jobs/jobs.module.js'
import { DueSchedules } from './due-schedules.js'
import { SchedulesOfFlows } from './flow-schedules.js'
import { Schedule } from './schedule.entity.js'
import { ScheduleHistory } from './schedule-history.js'
import { SchedulesService } from './schedules.service.js'

/** What schedules there are; they go with their account. When they are fired is the `ScheduleWorker`'s, which the runs module hosts. */
@Module({
  imports: [TypeOrmModule.forFeature([Schedule]), AccountsModule, AuditModule, JobsModule],
  providers: [SchedulesService, SchedulesOfFlows, ScheduleHistory, DueSchedules],
  exports: [SchedulesService, SchedulesOfFlows, DueSchedules],
})
export class SchedulesModule implements OnModuleInit {
  constructor(
    private readonly dependents: AccountDependents,
    private readonly schedules: SchedulesService,
  ) {}

  onModuleInit(): void {
    this.dependents.registerRemoval((tx, accountId) => this.schedules.removeOf(tx, accountId))
  }
}
