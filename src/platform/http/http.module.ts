import { Global, Module } from '@nestjs/common'
import { APP_FILTER, APP_INTERCEPTOR, APP_PIPE, DiscoveryModule } from '@nestjs/core'
import { systemClock } from '../clock/clock.js'
import { Config } from '../config/config.js'
import { DocsController } from '../openapi/docs.controller.js'
import { AnswerHeadersInterceptor } from './answer-headers.interceptor.js'
import { ProblemFilter } from './problem.filter.js'
import { ProblemsController } from './problems.controller.js'
import { RateLimitGuard } from './rate-limit.guard.js'
import { MemoryRateCounter, RateCounter } from './rate-limit.js'
import { InputPipe } from './validation.pipe.js'

/** What holds for every route: how input is checked, how errors are spelled, how requests are counted; and the pages about all that. */
@Global()
@Module({
  imports: [DiscoveryModule],
  controllers: [DocsController, ProblemsController],
  providers: [
    RateLimitGuard,
    {
      provide: RateCounter,
      inject: [Config],
      useFactory: (config: Config) => new MemoryRateCounter(config.rateLimit, systemClock),
    },
    { provide: APP_PIPE, useClass: InputPipe },
    { provide: APP_FILTER, useClass: ProblemFilter },
    { provide: APP_INTERCEPTOR, useClass: AnswerHeadersInterceptor },
  ],
  exports: [RateLimitGuard, RateCounter],
})
export class HttpModule {}
