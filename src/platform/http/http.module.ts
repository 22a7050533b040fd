import { Global, Module } from '@nestjs/common'
import { APP_FILTER, APP_INTERCEPTOR, APP_PIPE, DiscoveryModule } from '@nestjs/core'
import { DocsController } from '../openapi/docs.controller.js'
import { AnswerHeadersInterceptor } from './answer-headers.interceptor.js'
import { ProblemFilter } from './problem.filter.js'
import { ProblemsController } from './problems.controller.js'
import { RateLimitGuard } from './rate-limit.guard.js'
import { InputPipe } from './validation.pipe.js'

/** What holds for every route: how input is checked, how errors are spelled, how requests are counted; and the pages about all that. */
@Global()
@Module({
  imports: [DiscoveryModule],
  controllers: [DocsController, ProblemsController],
  providers: [
    RateLimitGuard,
    { provide: APP_PIPE, useClass: InputPipe },
    { provide: APP_FILTER, useClass: ProblemFilter },
    { provide: APP_INTERCEPTOR, useClass: AnswerHeadersInterceptor },
  ],
  exports: [RateLimitGuard],
})
export class HttpModule {}
