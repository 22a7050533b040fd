import { type DynamicModule, Global, Module, type Type } from '@nestjs/common'
import { ScheduleModule } from '@nestjs/schedule'
import { CLOCK, systemClock } from '../platform/clock/clock.js'
import type { Config } from '../platform/config/config.js'
import { ConfigModule } from '../platform/config/config.module.js'
import { DatabaseModule } from '../platform/database/database.module.js'
import type { Log } from '../platform/log/log.js'
import { LogModule } from '../platform/log/log.module.js'
import { ObjectsModule } from '../platform/objects/objects.module.js'
import { TelemetryModule } from '../platform/telemetry/telemetry.module.js'

@Global()
@Module({ providers: [{ provide: CLOCK, useValue: systemClock }], exports: [CLOCK] })
class ClockModule {}

/** What every process stands on, whether it serves or works. */
export function baseModules(config: Config, log: Log): (DynamicModule | Type)[] {
  return [
    ConfigModule.with(config),
    LogModule.with(log),
    TelemetryModule,
    ClockModule,
    DatabaseModule,
    ObjectsModule,
    ScheduleModule.forRoot(),
  ]
}
