import { Module } from '@nestjs/common'
import { FacilFlowHealthController } from '../modules/health/facilflow/health.controller.js'
import { HealthModule } from '../modules/health/health.module.js'
import { FacilFlowSchedulesController } from '../modules/schedules/facilflow/schedules.controller.js'
import { SchedulesModule } from '../modules/schedules/schedules.module.js'

/** FacilFlow: its health check, and the scheduler. */
@Module({
  imports: [HealthModule, SchedulesModule],
  controllers: [FacilFlowHealthController, FacilFlowSchedulesController],
})
export class FacilFlowSurface {}
