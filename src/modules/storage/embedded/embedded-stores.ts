import { EmbeddedStorage, type EmbeddedStoreParts } from './embedded-storage.js'

/** The embedded stores of all tenants. */
export class EmbeddedStores {
  constructor(private readonly parts: EmbeddedStoreParts) {}

  of(tenantId: string): EmbeddedStorage {
    return new EmbeddedStorage(tenantId, this.parts)
  }
}
