import { Module } from '@nestjs/common'
import { ContainersModule } from '../containers/containers.module.js'
import { JobSettingsModule } from './job-settings.module.js'
import { JobsService } from './jobs.service.js'
import { SystemInfo } from './system-info.js'

/** Jobs as they were indexed last. */
@Module({
  imports: [ContainersModule, JobSettingsModule],
  providers: [JobsService, SystemInfo],
  exports: [JobsService, SystemInfo, JobSettingsModule],
})
export class JobsModule {}
