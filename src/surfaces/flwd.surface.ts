import { Module } from '@nestjs/common'
import { ArtifactsModule } from '../modules/artifacts/artifacts.module.js'
import { FlwdArtifactsController } from '../modules/artifacts/flwd/artifacts.controller.js'
import { FlwdHealthController } from '../modules/health/flwd/health.controller.js'
import { HealthModule } from '../modules/health/health.module.js'
import { ProfileRates } from '../modules/jobs/flwd/profile-rates.js'
import { JobSettingsModule } from '../modules/jobs/job-settings.module.js'
import { JobNames } from '../modules/runs/flwd/job-names.js'
import { FlwdRunEventsController } from '../modules/runs/flwd/run-events.controller.js'
import { FlwdRunStreams } from '../modules/runs/flwd/run-streams.js'
import { RunsModule } from '../modules/runs/runs.module.js'

/** flwd: the events of runs, artifacts of runs, and its health check. */
@Module({
  imports: [ArtifactsModule, HealthModule, JobSettingsModule, RunsModule],
  controllers: [FlwdArtifactsController, FlwdHealthController, FlwdRunEventsController],
  providers: [JobNames, FlwdRunStreams, ProfileRates],
})
export class FlwdSurface {}
