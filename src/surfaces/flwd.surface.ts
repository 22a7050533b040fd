import { Module } from '@nestjs/common'
import { FlwdHealthController } from '../modules/health/flwd/health.controller.js'
import { HealthModule } from '../modules/health/health.module.js'

/** flwd: its health check. */
@Module({ imports: [HealthModule], controllers: [FlwdHealthController] })
export class FlwdSurface {}
