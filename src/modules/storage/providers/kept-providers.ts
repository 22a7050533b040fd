import { Injectable, type OnApplicationShutdown } from '@nestjs/common'
import { Sealer } from '../../../platform/crypto/sealer.js'
import { Sql, type Statement } from '../../../platform/database/sql.js'
import { GuardedOutbound } from '../../../platform/outbound/guarded-outbound.js'
import { driverMaker } from '../drivers/open-driver.js'
import { EmbeddedStores } from '../embedded/embedded-stores.js'
import type { ProviderSettings, ProviderType } from '../provider-settings.js'
import { ProviderNotFound } from '../storage.errors.js'
import type { StorageDriver } from '../storage-driver.js'
import { EMBEDDED_PROVIDER, type OpenedProvider, StorageProviders } from '../storage-providers.js'
import { placeOfProvider } from './sealed-providers.js'

/** A provider as its driver needs it. */
interface Row extends Record<string, unknown> {
  id: string
  type: ProviderType
  endpoint: string
  region: string | null
  keyId: string
  sealed: Buffer
  updatedAt: Date
}

const COLUMNS = 'id, type, endpoint, region, key_id as "keyId", sealed, updated_at as "updatedAt"'
const BY_ID: Statement = {
  name: 'storage_provider_by_id',
  text: `select ${COLUMNS} from storage_provider where tenant_id = $1 and id = $2`,
}
const DEFAULT: Statement = {
  name: 'storage_provider_default',
  text: `select ${COLUMNS} from storage_provider where tenant_id = $1 and is_default`,
}
/** Drivers that are kept with their connections; one that is let go of is made anew when it is asked for. */
const MOST_DRIVERS = 100

/**
 * Drivers are kept while their provider stays as it is. Its row is read at each opening, so a change counts from then on in every
 * process; a driver that is replaced lets its transfers end.
 */
@Injectable()
export class KeptProviders extends StorageProviders implements OnApplicationShutdown {
  /** Least lately opened first. */
  private readonly kept = new Map<string, { version: number; driver: StorageDriver }>()

  constructor(
    private readonly sql: Sql,
    private readonly sealer: Sealer,
    private readonly outbound: GuardedOutbound,
    private readonly embedded: EmbeddedStores,
  ) {
    super()
  }

  override async open(tenantId: string, providerId?: string): Promise<OpenedProvider> {
    if (providerId === EMBEDDED_PROVIDER) return this.embeddedOf(tenantId)
    const [row] =
      providerId === undefined
        ? await this.sql.query<Row>(DEFAULT, [tenantId])
        : await this.sql.query<Row>(BY_ID, [tenantId, providerId])
    if (row) return { id: row.id, driver: await this.driverOf(tenantId, row) }
    if (providerId === undefined) return this.embeddedOf(tenantId)
    this.letGo(`${tenantId}/${providerId}`)
    throw new ProviderNotFound(providerId)
  }

  async onApplicationShutdown(): Promise<void> {
    for (const key of [...this.kept.keys()]) this.letGo(key)
  }

  private embeddedOf(tenantId: string): OpenedProvider {
    return { id: EMBEDDED_PROVIDER, driver: this.embedded.of(tenantId) }
  }

  private async driverOf(tenantId: string, row: Row): Promise<StorageDriver> {
    const make = await driverMaker(row.type)
    // Without a pause from here on: two who ask at once are given the same.
    const key = `${tenantId}/${row.id}`
    const version = row.updatedAt.getTime()
    const known = this.kept.get(key)
    if (known?.version === version) {
      this.kept.delete(key)
      this.kept.set(key, known)
      return known.driver
    }
    this.letGo(key)
    const credentials = JSON.parse(this.sealer.open(row, placeOfProvider(tenantId, row.id)))
    const { type, region, endpoint } = row
    const settings = { type, endpoint: new URL(endpoint), region: region ?? undefined, credentials } as ProviderSettings
    const driver = make(settings, this.outbound)
    this.kept.set(key, { version, driver })
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= MOST_DRIVERS) break
      this.letGo(oldest)
    }
    return driver
  }

  private letGo(key: string): void {
    const known = this.kept.get(key)
    this.kept.delete(key)
    void known?.driver.close()
  }
}
