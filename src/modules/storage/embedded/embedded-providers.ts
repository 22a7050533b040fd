import { Injectable } from '@nestjs/common'
import { ProviderNotFound } from '../storage.errors.js'
import { EMBEDDED_PROVIDER, type OpenedProvider, StorageProviders } from '../storage-providers.js'
import { EmbeddedStores } from './embedded-stores.js'

/** Every tenant has its embedded store. */
@Injectable()
export class EmbeddedProviders extends StorageProviders {
  constructor(private readonly stores: EmbeddedStores) {
    super()
  }

  override async open(tenantId: string, providerId: string = EMBEDDED_PROVIDER): Promise<OpenedProvider> {
    if (providerId !== EMBEDDED_PROVIDER) throw new ProviderNotFound(providerId)
    return { id: EMBEDDED_PROVIDER, driver: this.stores.of(tenantId) }
  }
}
