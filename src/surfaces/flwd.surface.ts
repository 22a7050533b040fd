import { Module } from '@nestjs/common'
import { ArtifactsModule } from '../modules/artifacts/artifacts.module.js'
import { FlwdArtifactsController } from '../modules/artifacts/flwd/artifacts.controller.js'
import { FlwdHealthController } from '../modules/health/flwd/health.controller.js'
import { HealthModule } from '../modules/health/health.module.js'

/** flwd: artifacts of runs, and its health check. */
@Module({
  imports: [ArtifactsModule, HealthModule],
  controllers: [FlwdArtifactsController, FlwdHealthController],
})
export class FlwdSurface {}
