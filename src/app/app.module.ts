import { type DynamicModule, Global, Module } from '@nestjs/common'
import { APP_GUARD } from '@nestjs/core'
import { dialects } from '../dialects/index.js'
import { S3Module } from '../modules/s3/s3.module.js'
import { AuthenticationGuard } from '../platform/auth/authentication.guard.js'
import type { Config } from '../platform/config/config.js'
import { Dialects } from '../platform/http/dialects.js'
import { HttpModule } from '../platform/http/http.module.js'
import { RateLimitGuard } from '../platform/http/rate-limit.guard.js'
import type { Log } from '../platform/log/log.js'
import { RatesModule } from '../platform/rates/rates.module.js'
import { RealtimeModule } from '../platform/realtime/realtime.module.js'
import { FacilFlowSurface } from '../surfaces/facilflow.surface.js'
import { Flow8Surface } from '../surfaces/flow8.surface.js'
import { FlowRunnerSurface } from '../surfaces/flowrunner.surface.js'
import { FlwdSurface } from '../surfaces/flwd.surface.js'
import { OperationsSurface } from '../surfaces/operations.surface.js'
import { baseModules } from './base-modules.js'

@Global()
@Module({ providers: [{ provide: Dialects, useValue: dialects }], exports: [Dialects] })
class DialectsModule {}

/** The whole backend: the platform, and the surfaces, which bring the modules that they speak for. */
@Module({})
export class AppModule {
  static with(config: Config, log: Log): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ...baseModules(config, log),
        DialectsModule,
        RatesModule,
        HttpModule,
        RealtimeModule,
        FlowRunnerSurface,
        Flow8Surface,
        FacilFlowSurface,
        FlwdSurface,
        OperationsSurface,
        S3Module,
      ],
      providers: [
        { provide: APP_GUARD, useExisting: AuthenticationGuard },
        { provide: APP_GUARD, useExisting: RateLimitGuard },
      ],
    }
  }
}
