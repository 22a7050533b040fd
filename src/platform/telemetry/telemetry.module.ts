import { Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common'
import { Config } from '../config/config.js'
import { Metrics } from './metrics.js'
import { RequestTelemetry } from './request-telemetry.js'
import { Tracing } from './tracing.js'

/** Measurements and traces. What is left of the traces is sent once nothing runs any more. */
@Global()
@Module({
  providers: [
    { provide: Metrics, useFactory: () => new Metrics() },
    {
      provide: Tracing,
      inject: [Config],
      useFactory: async ({ tracing }: Config) =>
        new Tracing(tracing && (await (await import('./otlp.js')).otlpSink(tracing))),
    },
    {
      provide: RequestTelemetry,
      inject: [Metrics, Tracing],
      useFactory: (metrics: Metrics, tracing: Tracing) => new RequestTelemetry(metrics, tracing),
    },
  ],
  exports: [Metrics, Tracing, RequestTelemetry],
})
export class TelemetryModule implements OnApplicationShutdown {
  constructor(@Inject(Tracing) private readonly tracing: Tracing) {}

  async onApplicationShutdown(): Promise<void> {
    await this.tracing.close()
  }
}
