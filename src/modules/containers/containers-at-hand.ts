import { Inject, Injectable } from '@nestjs/common'
import { Config } from '../../platform/config/config.js'
import { ContainerRuntimes } from '../../platform/containers/container-runtimes.js'
import { ContainerRuntimeUnavailable } from './containers.errors.js'

/** Whether what needs a container can be worked on. */
@Injectable()
export class ContainersAtHand {
  constructor(
    private readonly runtimes: ContainerRuntimes,
    @Inject(Config) private readonly config: Pick<Config, 'redisUrl' | 'maxActiveRuns'>,
  ) {}

  /** Refuses early where that is known: with queues, or where others do the work, their hosts may have what this one has not. */
  async check(): Promise<void> {
    const worksItself = this.config.redisUrl === undefined && this.config.maxActiveRuns > 0
    if (worksItself && (await this.runtimes.find()) === undefined) throw new ContainerRuntimeUnavailable()
  }
}
