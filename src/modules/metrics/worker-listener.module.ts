import { type BeforeApplicationShutdown, Logger, Module, type OnApplicationBootstrap } from '@nestjs/common'
import { Config } from '../../platform/config/config.js'
import { Metrics } from '../../platform/telemetry/metrics.js'
import { MetricsListener } from '../../platform/telemetry/metrics-listener.js'
import { HealthModule } from '../health/health.module.js'
import { HealthService } from '../health/health.service.js'
import { MetricsModule } from './metrics.module.js'

/** `/metrics` and `/health` of a worker, on METRICS_PORT if there is one. */
@Module({ imports: [HealthModule, MetricsModule] })
export class WorkerListenerModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger('Metrics')
  private readonly listener: MetricsListener

  constructor(
    private readonly config: Config,
    metrics: Metrics,
    health: HealthService,
  ) {
    this.listener = new MetricsListener({
      metrics,
      token: config.metricsToken,
      healthy: () =>
        health.check().then(
          () => true,
          () => false,
        ),
    })
  }

  async onApplicationBootstrap(): Promise<void> {
    const { metricsPort, host } = this.config
    if (metricsPort === undefined) return
    const { address, port, family } = await this.listener.listen(metricsPort, host)
    const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}/metrics`
    this.logger.log({ url }, `measurements at ${url}`)
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.listener.close()
  }
}
