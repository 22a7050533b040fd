import { Module } from '@nestjs/common'
import { Flow8SchedulesController } from '../modules/schedules/flow8/schedules.controller.js'
import { SchedulesModule } from '../modules/schedules/schedules.module.js'

/** flow8: flows of layers; plays and their approvals; groups, KV entries, channels, schedules. */
@Module({
  imports: [SchedulesModule],
  controllers: [Flow8SchedulesController],
})
export class Flow8Surface {}
