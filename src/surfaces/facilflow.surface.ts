import { Module } from '@nestjs/common'
import { FacilFlowHealthController } from '../modules/health/facilflow/health.controller.js'
import { HealthModule } from '../modules/health/health.module.js'

/** FacilFlow: its health check. */
@Module({ imports: [HealthModule], controllers: [FacilFlowHealthController] })
export class FacilFlowSurface {}
