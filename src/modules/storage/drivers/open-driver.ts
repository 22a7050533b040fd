import type { GuardedOutbound } from '../../../platform/outbound/guarded-outbound.js'
import type { ProviderSettings } from '../provider-settings.js'
import type { StorageDriver } from '../storage-driver.js'
import { AzureBlobDriver } from './azure-blob-driver.js'
import { GcsDriver } from './gcs-driver.js'
import { S3Driver } from './s3-driver.js'

/** The driver for a service outside. Nothing is asked of the service yet. */
export function openDriver(settings: ProviderSettings, outbound: GuardedOutbound): StorageDriver {
  switch (settings.type) {
    case 'minio':
    case 's3':
      return new S3Driver(settings, outbound)
    case 'azure-blob':
      return new AzureBlobDriver(settings, outbound)
    case 'gcs':
      return new GcsDriver(settings, outbound)
  }
}
