import { type DynamicModule, Global, Module } from '@nestjs/common'
import { APP_GUARD } from '@nestjs/core'
import { ScheduleModule } from '@nestjs/schedule'
import { dialects } from '../dialects/index.js'
import { AuthenticationGuard } from '../platform/auth/authentication.guard.js'
import { CLOCK, systemClock } from '../platform/clock/clock.js'
import type { Config } from '../platform/config/config.js'
import { ConfigModule } from '../platform/config/config.module.js'
import { DatabaseModule } from '../platform/database/database.module.js'
import { Dialects } from '../platform/http/dialects.js'
import { HttpModule } from '../platform/http/http.module.js'
import { RateLimitGuard } from '../platform/http/rate-limit.guard.js'
import type { Log } from '../platform/log/log.js'
import { LogModule } from '../platform/log/log.module.js'
import { ObjectsModule } from '../platform/objects/objects.module.js'
import { RealtimeModule } from '../platform/realtime/realtime.module.js'
import { TelemetryModule } from '../platform/telemetry/telemetry.module.js'
import { FacilFlowSurface } from '../surfaces/facilflow.surface.js'
import { FlowRunnerSurface } from '../surfaces/flowrunner.surface.js'
import { FlwdSurface } from '../surfaces/flwd.surface.js'
import { OperationsSurface } from '../surfaces/operations.surface.js'

@Global()
@Module({
  providers: [
    { provide: CLOCK, useValue: systemClock },
    { provide: Dialects, useValue: dialects },
  ],
  exports: [CLOCK, Dialects],
})
class SharedModule {}

/** The whole backend: the platform, and the surfaces, which bring the modules that they speak for. */
@Module({})
export class AppModule {
  static with(config: Config, log: Log): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.with(config),
        LogModule.with(log),
        TelemetryModule,
        SharedModule,
        DatabaseModule,
        ObjectsModule,
        ScheduleModule.forRoot(),
        HttpModule,
        RealtimeModule,
        FlowRunnerSurface,
        FacilFlowSurface,
        FlwdSurface,
        OperationsSurface,
      ],
      providers: [
        { provide: APP_GUARD, useExisting: AuthenticationGuard },
        { provide: APP_GUARD, useExisting: RateLimitGuard },
      ],
    }
  }
}
