import { Module, type OnApplicationShutdown } from '@nestjs/common'
import { IdleMemory } from './idle-memory.js'

/** Keeps a resting process small. */
@Module({ providers: [{ provide: IdleMemory, useFactory: () => new IdleMemory() }] })
export class MemoryModule implements OnApplicationShutdown {
  constructor(private readonly memory: IdleMemory) {}

  onApplicationShutdown(): void {
    this.memory.stop()
  }
}
