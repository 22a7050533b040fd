import { Get } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { Answers, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { SystemInfo } from '../system-info.js'
import { FlwdSystemInfo, toSystemInfo } from './system.dto.js'

@SurfaceController({
  surface: 'flwd',
  path: 'api/v1/system',
  resource: 'System',
  about: 'What this server is made of.',
})
export class FlwdSystemController {
  constructor(private readonly system: SystemInfo) {}

  @Get('info')
  @Summary(
    'Get system information',
    'The version, the sources of jobs that the caller sees, and what else can be used.',
  )
  @Answers(FlwdSystemInfo, { description: 'What the instance is made of' })
  async info(@Caller() caller: Principal): Promise<FlwdSystemInfo> {
    return toSystemInfo(await this.system.of(caller))
  }
}
