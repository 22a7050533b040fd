import { NO_QUOTA, type StorageQuota, type Usage } from './bucket-usage.js'
import { EmbeddedStorage, type EmbeddedStoreParts } from './embedded-storage.js'

/** The embedded stores of all tenants. */
export class EmbeddedStores {
  constructor(private readonly parts: EmbeddedStoreParts) {}

  /** What each tenant may keep. */
  get quota(): StorageQuota {
    return this.parts.quota ?? NO_QUOTA
  }

  of(tenantId: string): EmbeddedStorage {
    return new EmbeddedStorage(tenantId, this.parts)
  }

  async usage(tenantId: string): Promise<{ used: Usage; quota: StorageQuota }> {
    return { used: await this.of(tenantId).usage(), quota: this.quota }
  }
}
