import { Get } from '@nestjs/common'
import { Answers, Public, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { HealthService } from '../health.service.js'
import { FacilFlowHealth, toHealth } from './health.dto.js'

@SurfaceController({
  surface: 'facilflow',
  path: 'api/health',
  resource: 'Health',
  about: 'Whether the server can do its work.',
})
@Public()
export class FacilFlowHealthController {
  constructor(private readonly health: HealthService) {}

  @Get()
  @Summary('Health check', 'Answers 503 when the database cannot be reached.')
  @Answers(FacilFlowHealth, { description: 'The service is healthy' })
  async get(): Promise<FacilFlowHealth> {
    return toHealth(await this.health.check())
  }
}
