import type { StorageDriver } from './storage-driver.js'

/** The embedded store of each tenant, which is its default until another provider is. */
export const EMBEDDED_PROVIDER = 'default-minio'

export interface OpenedProvider {
  id: string
  driver: StorageDriver
}

/** The storage providers of tenants, as those who store something need them. */
export abstract class StorageProviders {
  /** The tenant's default where no id is said. The driver is shared: nobody but its owner closes it. Throws `ProviderNotFound`. */
  abstract open(tenantId: string, providerId?: string): Promise<OpenedProvider>
}
