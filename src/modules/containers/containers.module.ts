import { join } from 'node:path'
import { Logger, Module } from '@nestjs/common'
import { Config } from '../../platform/config/config.js'
import { ContainerRuntimes } from '../../platform/containers/container-runtimes.js'
import { ContainersAtHand } from './containers-at-hand.js'
import { LeftoverContainers } from './leftover-containers.worker.js'

/** The container runtime of this host, where there is one, and its tidiness. */
@Module({
  providers: [
    {
      provide: ContainerRuntimes,
      inject: [Config],
      useFactory: ({ containerSocket, userRuntimeDir, dataDir }: Config) => {
        const logger = new Logger(ContainerRuntimes.name)
        return new ContainerRuntimes(
          { socket: containerSocket, runtimeDir: userRuntimeDir },
          {
            roots: ['runs', 'bundles', 'control'].map((folder) => join(dataDir, 'jobs', folder)),
            onError: (error) =>
              logger.error({ err: error }, 'a container could not be removed; it is tried again later'),
          },
        )
      },
    },
    ContainersAtHand,
    LeftoverContainers,
  ],
  exports: [ContainerRuntimes, ContainersAtHand, LeftoverContainers],
})
export class ContainersModule {}
