import { Module } from '@nestjs/common'
import { MetricsController } from '../modules/metrics/metrics.controller.js'
import { MetricsModule } from '../modules/metrics/metrics.module.js'

/** What operators ask of the program itself. */
@Module({ imports: [MetricsModule], controllers: [MetricsController] })
export class OperationsSurface {}
