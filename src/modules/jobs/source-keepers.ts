import { join } from 'node:path'
import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common'
import { Config } from '../../platform/config/config.js'
import { GitCheckouts } from './git-checkouts.js'
import { JobIndex } from './job-index.js'
import { JobSettings, type JobSource } from './job-settings.js'
import { OciLayout } from './oci-layout.js'
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
    @Inject(Config) { dataDir }: Pick<Config, 'dataDir'>,
  ) {
    this.keepers = settings.sources.map((source) => ({
      source,
      keeper: new SourceKeeper(keepingOf(source, join(dataDir, 'jobs')), index),
    }))
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.index.forgetAllBut(this.settings.sources.map(({ name }) => name))
    const started = this.keepers.map(({ source, keeper }) => ({ source, first: keeper.start() }))
    await Promise.all(started.filter(({ source }) => source.type !== 'git').map(({ first }) => first))
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all(this.keepers.map(({ keeper }) => keeper.stop()))
  }
}

function keepingOf(source: JobSource, folder: string): Keeping {
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
      const layout = new OciLayout(join(folder, 'oci'), source.path)
      return { source, watches: false, everyMs: source.watch ? OCI_MS : 0, fetch: () => layout.current() }
    }
  }
}
