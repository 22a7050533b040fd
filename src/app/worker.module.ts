import { type DynamicModule, Global, Module } from '@nestjs/common'
import { ScheduleModule } from '@nestjs/schedule'
import { WorkerListenerModule } from '../modules/metrics/worker-listener.module.js'
import { TAKES_FROM_QUEUES } from '../modules/runs/dispatch/run-queues.js'
import { RunsModule } from '../modules/runs/runs.module.js'
import { CLOCK, systemClock } from '../platform/clock/clock.js'
import type { Config } from '../platform/config/config.js'
import { ConfigModule } from '../platform/config/config.module.js'
import { DatabaseModule } from '../platform/database/database.module.js'
import type { Log } from '../platform/log/log.js'
import { LogModule } from '../platform/log/log.module.js'
import { ObjectsModule } from '../platform/objects/objects.module.js'
import { TelemetryModule } from '../platform/telemetry/telemetry.module.js'

@Global()
@Module({
  providers: [
    { provide: CLOCK, useValue: systemClock },
    { provide: TAKES_FROM_QUEUES, useValue: true },
  ],
  exports: [CLOCK, TAKES_FROM_QUEUES],
})
class SharedModule {}

/** What works on runs, and nothing that listens. */
@Module({})
export class WorkerModule {
  static with(config: Config, log: Log): DynamicModule {
    return {
      module: WorkerModule,
      imports: [
        ConfigModule.with(config),
        LogModule.with(log),
        TelemetryModule,
        SharedModule,
        DatabaseModule,
        ObjectsModule,
        ScheduleModule.forRoot(),
        RunsModule,
        WorkerListenerModule,
      ],
    }
  }
}
