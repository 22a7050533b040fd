import type { GuardedOutbound } from '../../../platform/outbound/guarded-outbound.js'
import type { ProviderSettings, ProviderType, SettingsOf } from '../provider-settings.js'
import type { StorageDriver } from '../storage-driver.js'

/** Makes the driver for a service outside. Nothing is asked of the service yet. */
export type DriverMaker = (settings: ProviderSettings, outbound: GuardedOutbound) => StorageDriver

/** A service's own library takes tens of megabytes, and most servers need none of them: it is loaded for the first provider of its kind. */
export async function driverMaker(type: ProviderType): Promise<DriverMaker> {
  switch (type) {
    case 'minio':
    case 's3': {
      const { S3Driver } = await import('./s3-driver.js')
      return (settings, outbound) => new S3Driver(settings as SettingsOf<'minio' | 's3'>, outbound)
    }
    case 'azure-blob': {
      const { AzureBlobDriver } = await import('./azure-blob-driver.js')
      return (settings, outbound) => new AzureBlobDriver(settings as SettingsOf<'azure-blob'>, outbound)
    }
    case 'gcs': {
      const { GcsDriver } = await import('./gcs-driver.js')
      return (settings, outbound) => new GcsDriver(settings as SettingsOf<'gcs'>, outbound)
    }
  }
}
