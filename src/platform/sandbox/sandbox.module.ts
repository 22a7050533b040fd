import { Inject, Module, type OnApplicationShutdown } from '@nestjs/common'
import { Config } from '../config/config.js'
import { Sandbox } from './sandbox.js'

/** The sandbox for user code, closed once nothing runs any more. */
@Module({
  providers: [
    {
      provide: Sandbox,
      inject: [Config],
      useFactory: (config: Config) =>
        new Sandbox({ timeoutMs: config.scriptTimeoutMs, memoryMb: config.scriptMemoryMb }),
    },
  ],
  exports: [Sandbox],
})
export class SandboxModule implements OnApplicationShutdown {
  constructor(@Inject(Sandbox) private readonly sandbox: Sandbox) {}

  async onApplicationShutdown(): Promise<void> {
    await this.sandbox.close()
  }
}
