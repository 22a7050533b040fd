import { Module } from '@nestjs/common'
import { HealthService } from './health.service.js'

/** Whether this process can answer. */
@Module({ providers: [HealthService], exports: [HealthService] })
export class HealthModule {}
