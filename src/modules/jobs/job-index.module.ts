import { Module } from '@nestjs/common'
import { JobIndex } from './job-index.js'
import { JobSettingsModule } from './job-settings.module.js'
import { JobSweep } from './job-sweep.js'
import { SourceKeepers } from './source-keepers.js'

/** Looks after the sources of jobs, in every process that serves. */
@Module({ imports: [JobSettingsModule], providers: [JobIndex, SourceKeepers, JobSweep] })
export class JobIndexModule {}
