import { BullModule, getQueueToken } from '@nestjs/bull'
import { Module } from '@nestjs/common'
import { LazyModuleLoader } from '@nestjs/core'
import type { Queue } from 'bull'
import { Config } from '../../../platform/config/config.js'
import type { HandedRun } from '../worker/taken-run.js'
import { QueueConnections } from './queue-connections.js'
import { QUEUE_OPTIONS, RUN_QUEUES, RunQueues, TAKES_FROM_QUEUES } from './run-queues.js'

@Module({
  providers: [
    {
      provide: QueueConnections,
      inject: [Config],
      useFactory: ({ redisUrl }: Config) => redisUrl && new QueueConnections(redisUrl),
    },
  ],
  exports: [QueueConnections],
})
class QueueConnectionsModule {}

/** Nest's queues on Bull, where there is a Redis. Which tags there are is known from the runs, so that queues are registered as they are met. */
@Module({
  imports: [
    QueueConnectionsModule,
    BullModule.forRootAsync({
      imports: [QueueConnectionsModule],
      inject: [QueueConnections],
      useFactory: (connections?: QueueConnections) => ({ ...QUEUE_OPTIONS, createClient: connections?.createClient }),
    }),
  ],
  providers: [
    {
      provide: RUN_QUEUES,
      inject: [QueueConnections, LazyModuleLoader, { token: TAKES_FROM_QUEUES, optional: true }],
      useFactory: (connections: QueueConnections | undefined, modules: LazyModuleLoader, areTaken = false) =>
        connections &&
        new RunQueues(connections, areTaken, async (name) => {
          const queue = await modules.load(() => BullModule.registerQueue({ name }))
          return queue.get<Queue<HandedRun>>(getQueueToken(name))
        }),
    },
  ],
  exports: [RUN_QUEUES],
})
export class QueuesModule {}
