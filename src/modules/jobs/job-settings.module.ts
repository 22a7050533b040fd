import { join } from 'node:path'
import { Module } from '@nestjs/common'
import { Config } from '../../platform/config/config.js'
import { BundleStore } from './bundle-store.js'
import { JobSettings } from './job-settings.js'
import { readJobSettings } from './read-job-settings.js'

/** What the operator says of jobs, and the snapshots of their files: what their runs need, wherever they run. */
@Module({
  providers: [
    {
      provide: JobSettings,
      inject: [Config],
      useFactory: ({ jobSources, surroundings }: Config) => readJobSettings(jobSources, surroundings),
    },
    {
      provide: BundleStore,
      inject: [Config],
      useFactory: ({ dataDir }: Config) => new BundleStore(join(dataDir, 'jobs', 'bundles')),
    },
  ],
  exports: [JobSettings, BundleStore],
})
export class JobSettingsModule {}
