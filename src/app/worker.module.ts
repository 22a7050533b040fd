import { type DynamicModule, Global, Module } from '@nestjs/common'
import { WorkerListenerModule } from '../modules/metrics/worker-listener.module.js'
import { TAKES_FROM_QUEUES } from '../modules/runs/dispatch/run-queues.js'
import { RunsModule } from '../modules/runs/runs.module.js'
import type { Config } from '../platform/config/config.js'
import type { Log } from '../platform/log/log.js'
import { baseModules } from './base-modules.js'

@Global()
@Module({ providers: [{ provide: TAKES_FROM_QUEUES, useValue: true }], exports: [TAKES_FROM_QUEUES] })
class QueueTakerModule {}

/** What works on runs, and nothing that listens. */
@Module({})
export class WorkerModule {
  static with(config: Config, log: Log): DynamicModule {
    return {
      module: WorkerModule,
      imports: [...baseModules(config, log), QueueTakerModule, RunsModule, WorkerListenerModule],
    }
  }
}
