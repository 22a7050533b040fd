import { Inject, Module, type OnApplicationShutdown } from '@nestjs/common'
import { StepRegistry } from '../../engine/step.js'
import { Config } from '../../platform/config/config.js'
import { GuardedOutbound } from '../../platform/outbound/guarded-outbound.js'
import { coreSteps } from '../../steps/core.js'
import { externalSteps } from '../../steps/external.js'
import { flow8Steps } from '../../steps/flow8.js'
import { KvModule } from '../kv/kv.module.js'
import { KvStore } from '../kv/kv-store.js'
import { SchedulesModule } from '../schedules/schedules.module.js'
import { SchedulesService } from '../schedules/schedules.service.js'

/** The step types that flows may use, with the ports that they reach the world by. */
@Module({
  imports: [KvModule, SchedulesModule],
  providers: [
    {
      provide: GuardedOutbound,
      inject: [Config],
      useFactory: (config: Config) =>
        new GuardedOutbound({ allow: config.outboundAllow.join(','), maxResponseBytes: config.httpMaxResponseBytes }),
    },
    {
      provide: StepRegistry,
      inject: [Config, GuardedOutbound, KvStore, SchedulesService],
      useFactory: (config: Config, outbound: GuardedOutbound, keyValues: KvStore, schedules: SchedulesService) =>
        new StepRegistry([
          ...coreSteps({ outbound, keyValues, schedules }),
          ...externalSteps({ outbound, mcpCommands: config.mcpCommands }),
          ...flow8Steps({ outbound }),
        ]),
    },
  ],
  exports: [StepRegistry, GuardedOutbound, SchedulesModule],
})
export class StepsModule implements OnApplicationShutdown {
  constructor(@Inject(GuardedOutbound) private readonly outbound: GuardedOutbound) {}

  async onApplicationShutdown(): Promise<void> {
    await this.outbound.close()
  }
}
