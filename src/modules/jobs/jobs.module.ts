import { Module } from '@nestjs/common'
import { JobSettingsModule } from './job-settings.module.js'
import { JobsService } from './jobs.service.js'

/** Jobs as they were indexed last. */
@Module({
  imports: [JobSettingsModule],
  providers: [JobsService],
  exports: [JobsService, JobSettingsModule],
})
export class JobsModule {}
