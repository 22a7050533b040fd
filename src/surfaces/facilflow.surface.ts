import { Module } from '@nestjs/common'
import { AccountsModule } from '../modules/accounts/accounts.module.js'
import { FacilFlowUsersController } from '../modules/accounts/facilflow/users.controller.js'
import { FacilFlowAuditController } from '../modules/audit/audit.controller.js'
import { AuditModule } from '../modules/audit/audit.module.js'
import { AuthModule } from '../modules/auth/auth.module.js'
import { FacilFlowApiKeysController } from '../modules/auth/facilflow/api-keys.controller.js'
import { BucketsModule } from '../modules/buckets/buckets.module.js'
import { FacilFlowBucketsController } from '../modules/buckets/facilflow/buckets.controller.js'
import { FacilFlowObjectsController } from '../modules/buckets/facilflow/objects.controller.js'
import { FacilFlowHealthController } from '../modules/health/facilflow/health.controller.js'
import { HealthModule } from '../modules/health/health.module.js'
import { FacilFlowSchedulesController } from '../modules/schedules/facilflow/schedules.controller.js'
import { SchedulesModule } from '../modules/schedules/schedules.module.js'
import { FacilFlowStorageController } from '../modules/storage/facilflow/providers.controller.js'
import { FacilFlowStorageUsageController } from '../modules/storage/facilflow/usage.controller.js'
import { StorageModule } from '../modules/storage/storage.module.js'

/** FacilFlow: its health check, API keys, the scheduler, users, the audit trail, buckets with their objects, and storage providers. */
@Module({
  imports: [AuthModule, HealthModule, SchedulesModule, AccountsModule, AuditModule, BucketsModule, StorageModule],
  controllers: [
    FacilFlowApiKeysController,
    FacilFlowHealthController,
    FacilFlowSchedulesController,
    FacilFlowUsersController,
    FacilFlowAuditController,
    FacilFlowBucketsController,
    FacilFlowObjectsController,
    FacilFlowStorageController,
    FacilFlowStorageUsageController,
  ],
})
export class FacilFlowSurface {}
