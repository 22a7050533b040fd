import { Get } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { Answers, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { EmbeddedStores } from '../embedded/embedded-stores.js'
import { FacilFlowStorageUsage, toUsage } from './usage.dto.js'

@SurfaceController({
  surface: 'facilflow',
  path: 'api/storage/usage',
  resource: 'Storage usage',
  about: 'What the tenant keeps in the embedded store, and what it may.',
})
export class FacilFlowStorageUsageController {
  constructor(private readonly stores: EmbeddedStores) {}

  @Get()
  @Summary(
    'Get the usage',
    'Objects in all buckets of the embedded store, those with artifacts too, and parts of uploads that are not completed. What is deleted counts no more from that moment on.',
  )
  @Answers(FacilFlowStorageUsage, { description: 'The usage' })
  async get(@Caller() caller: Principal): Promise<FacilFlowStorageUsage> {
    return toUsage(await this.stores.usage(caller.tenantId))
  }
}
