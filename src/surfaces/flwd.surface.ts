import { Module } from '@nestjs/common'
import { ArtifactsModule } from '../modules/artifacts/artifacts.module.js'
import { FlwdArtifactsController } from '../modules/artifacts/flwd/artifacts.controller.js'
import { FlwdHealthController } from '../modules/health/flwd/health.controller.js'
import { HealthModule } from '../modules/health/health.module.js'
import { FlwdJobsController } from '../modules/jobs/flwd/jobs.controller.js'
import { ProfileRates } from '../modules/jobs/flwd/profile-rates.js'
import { FlwdSystemController } from '../modules/jobs/flwd/system.controller.js'
import { JobIndexModule } from '../modules/jobs/job-index.module.js'
import { JobsModule } from '../modules/jobs/jobs.module.js'
import { JobNames } from '../modules/runs/flwd/job-names.js'
import { JobRuns } from '../modules/runs/flwd/job-runs.js'
import { FlwdRunEventsController } from '../modules/runs/flwd/run-events.controller.js'
import { FlwdRunStreams } from '../modules/runs/flwd/run-streams.js'
import { FlwdRunsController } from '../modules/runs/flwd/runs.controller.js'
import { RunsModule } from '../modules/runs/runs.module.js'
import { SecretsModule } from '../modules/secrets/secrets.module.js'

/** flwd: jobs, runs and their events, artifacts of runs, and its health check. */
@Module({
  imports: [ArtifactsModule, HealthModule, JobIndexModule, JobsModule, RunsModule, SecretsModule],
  controllers: [
    FlwdArtifactsController,
    FlwdHealthController,
    FlwdJobsController,
    FlwdRunsController,
    FlwdRunEventsController,
    FlwdSystemController,
  ],
  providers: [JobNames, JobRuns, FlwdRunStreams, ProfileRates],
})
export class FlwdSurface {}
