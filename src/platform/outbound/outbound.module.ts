import { Inject, Module, type OnApplicationShutdown } from '@nestjs/common'
import { Config } from '../config/config.js'
import { GuardedOutbound } from './guarded-outbound.js'

/** The guarded way out, by the operator's settings. */
@Module({
  providers: [
    {
      provide: GuardedOutbound,
      inject: [Config],
      useFactory: (config: Config) =>
        new GuardedOutbound({ allow: config.outboundAllow.join(','), maxResponseBytes: config.httpMaxResponseBytes }),
    },
  ],
  exports: [GuardedOutbound],
})
export class OutboundModule implements OnApplicationShutdown {
  constructor(@Inject(GuardedOutbound) private readonly outbound: GuardedOutbound) {}

  async onApplicationShutdown(): Promise<void> {
    await this.outbound.close()
  }
}
