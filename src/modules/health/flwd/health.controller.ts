import { Get } from '@nestjs/common'
import { Answers, Public, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { HealthService } from '../health.service.js'
import { FlwdHealth, toHealth } from './health.dto.js'

@SurfaceController({
  surface: 'flwd',
  path: 'api/v1/health',
  resource: 'Health',
  about: 'Whether the server can do its work.',
})
@Public()
export class FlwdHealthController {
  constructor(private readonly health: HealthService) {}

  @Get()
  @Summary('Health check', 'Answers 503 when the database cannot be reached.')
  @Answers(FlwdHealth, { description: 'The instance is healthy' })
  async get(): Promise<FlwdHealth> {
    return toHealth(await this.health.check())
  }
}
