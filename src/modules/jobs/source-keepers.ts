import { join } from 'node:path'
import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common'
import { Config } from '../../platform/config/config.js'
import { GuardedOutbound } from '../../platform/outbound/guarded-outbound.js'
import { GitCheckouts } from './git-checkouts.js'
import { JobIndex } from './job-index.js'
import { JobSettings, type JobSource, type RegistrySource } from './job-settings.js'
import { OciLayout } from './oci-layout.js'
import { OciRegistry } from './oci-registry.js'
import { type Keeping, NOW_AND_THEN_MS, SourceKeeper } from './source-keeper.js'

/** How often the index of an image layout is read. */
const OCI_MS = 5_000

/** Looks after all sources of jobs. Those on this host are read before the server answers, those elsewhere meanwhile. */
@Injectable()
export class SourceKeepers implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly keepers: { source: JobSource; keeper: SourceKeeper }[]

  constructor(
    private readonly index: JobIndex,
    @Inject(JobSettings) private readonly settings: Pick<JobSettings, 'sources'>,
    @Inject(Config) { dataDir, outboundAllow }: Pick<Config, 'dataDir' | 'outboundAllow'>,
  ) {
    this.keepers = settings.sources.map((source) => ({
      source,
      keeper: new SourceKeeper(keepingOf(source, join(dataDir, 'jobs'), outboundAllow), index),
    }))
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.index.forgetAllBut(this.settings.sources.map(({ name }) => name))
    const started = this.keepers.map(({ source, keeper }) => ({ source, first: keeper.start() }))
    await Promise.all(
      started.filter(({ source }) => source.type !== 'git' && !('image' in source)).map(({ first }) => first),
    )
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all(this.keepers.map(({ keeper }) => keeper.stop()))
  }
}

/** The operator's registry is the operator's choice, so its address need not be public; that of its tokens and of what it redirects to does. */
function registryClient({ image, plainHttp }: RegistrySource, outboundAllow: readonly string[]): GuardedOutbound {
  const host = /:\d+$/.test(image.host) ? image.host : `${image.host}:${plainHttp ? 80 : 443}`
  return new GuardedOutbound({ allow: [host, ...outboundAllow].join(',') })
}

function keepingOf(source: JobSource, folder: string, outboundAllow: readonly string[]): Keeping {
  switch (source.type) {
    case 'fs':
      return {
        source,
        watches: source.watch,
        everyMs: source.watch ? NOW_AND_THEN_MS : 0,
        fetch: async () => source.path,
      }
    case 'git': {
      const checkouts = new GitCheckouts(join(folder, 'git'), source)
      return { source, watches: false, everyMs: source.pollMs, fetch: (signal) => checkouts.current(signal) }
    }
    case 'oci': {
      if ('image' in source) {
        const client = registryClient(source, outboundAllow)
        const registry = new OciRegistry(join(folder, 'oci'), source, client)
        return {
          source,
          watches: false,
          everyMs: source.pollMs,
          fetch: (signal) => registry.current(signal),
          close: () => client.close(),
        }
      }
      const layout = new OciLayout(join(folder, 'oci'), source.path)
      return { source, watches: false, everyMs: source.watch ? OCI_MS : 0, fetch: () => layout.current() }
    }
  }
}
