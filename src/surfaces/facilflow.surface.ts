import { Module } from '@nestjs/common'
import { AccountsModule } from '../modules/accounts/accounts.module.js'
import { FacilFlowUsersController } from '../modules/accounts/facilflow/users.controller.js'
import { FacilFlowAuditController } from '../modules/audit/audit.controller.js'
import { AuditModule } from '../modules/audit/audit.module.js'
import { FacilFlowHealthController } from '../modules/health/facilflow/health.controller.js'
import { HealthModule } from '../modules/health/health.module.js'
import { FacilFlowSchedulesController } from '../modules/schedules/facilflow/schedules.controller.js'
import { SchedulesModule } from '../modules/schedules/schedules.module.js'

/** FacilFlow: its health check, the scheduler, users, and the audit trail. */
@Module({
  imports: [HealthModule, SchedulesModule, AccountsModule, AuditModule],
  controllers: [
    FacilFlowHealthController,
    FacilFlowSchedulesController,
    FacilFlowUsersController,
    FacilFlowAuditController,
  ],
})
export class FacilFlowSurface {}
