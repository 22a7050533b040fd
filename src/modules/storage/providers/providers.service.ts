import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager } from 'typeorm'
import type { Principal } from '../../../platform/auth/principal.js'
import { CLOCK, type Clock, changeTime } from '../../../platform/clock/clock.js'
import { Sealer } from '../../../platform/crypto/sealer.js'
import { LOCKS } from '../../../platform/database/advisory-locks.js'
import type { Fault } from '../../../platform/errors/domain-error.js'
import { ValidationFailed } from '../../../platform/http/faults.js'
import { type Expected, requireMatch } from '../../../platform/http/headers.js'
import { newId } from '../../../platform/ids.js'
import { AuditTrail } from '../../audit/audit-trail.js'
import { bucketNameFault } from '../bucket-name.js'
import type { ProviderType } from '../provider-settings.js'
import { ProviderInUse, ProviderNotFound, ProviderTypeImmutable } from '../storage.errors.js'
import { EMBEDDED_PROVIDER, StorageProviders } from '../storage-providers.js'
import { type TestResult, testConnection } from './connection-test.js'
import { type CredentialsInput, namesOf } from './credentials.js'
import { readSettings, settingsAfter } from './provider-rules.js'
import { placeOfProvider } from './sealed-providers.js'
import { StorageProvider } from './storage-provider.entity.js'

export interface NewProvider {
  name: string
  type: ProviderType
  endpoint?: string | null
  port?: number | null
  useSSL?: boolean | null
  region?: string | null
  bucket?: string | null
  credentials?: CredentialsInput
  isDefault?: boolean
}

export type ProviderChange = Partial<NewProvider>

/** A provider as it may be shown: without its credentials. */
export type ShownProvider = Pick<
  StorageProvider,
  'id' | 'name' | 'type' | 'region' | 'bucket' | 'credentialNames' | 'isDefault' | 'createdAt' | 'updatedAt'
> & { /** Undefined of the embedded one, which is this server. */ endpoint?: URL }

/** Of what a tenant may have. */
const MOST_PROVIDERS = 100

/** The storage providers of a tenant. One of them is its default: the embedded one where no other is. */
@Injectable()
export class ProvidersService {
  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly providers: StorageProviders,
    private readonly sealer: Sealer,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** The embedded one first, then by age. */
  async list({ tenantId }: Principal): Promise<ShownProvider[]> {
    const rows = await this.database.getRepository(StorageProvider).find({ where: { tenantId }, order: { id: 'asc' } })
    return [await this.embedded(this.database.manager, tenantId), ...rows.map(shown)]
  }

  async get({ tenantId }: Principal, id: string): Promise<ShownProvider> {
    const { manager } = this.database
    return id === EMBEDDED_PROVIDER
      ? await this.embedded(manager, tenantId)
      : shown(await this.find(manager, tenantId, id))
  }

  async create(caller: Principal, input: NewProvider): Promise<ShownProvider> {
    const { tenantId } = caller
    const faults = bucketFaults(input.bucket)
    const settings = readSettings(input, faults)
    if (!settings || faults.length > 0) throw new ValidationFailed(faults)
    const id = newId('provider')
    const now = this.clock.now()
    const provider: StorageProvider = {
      id,
      tenantId,
      name: input.name,
      type: input.type,
      endpoint: settings.endpoint.href,
      region: input.region ?? null,
      bucket: input.bucket ?? null,
      credentialNames: namesOf(input.credentials ?? {}),
      ...this.sealer.seal(JSON.stringify(settings.credentials), placeOfProvider(tenantId, id)),
      isDefault: input.isDefault ?? false,
      createdAt: now,
      updatedAt: now,
    }
    await this.changeDefault(tenantId, async (tx) => {
      if ((await tx.countBy(StorageProvider, { tenantId })) >= MOST_PROVIDERS)
        throw new ValidationFailed([
          { pointer: '#', detail: `There are at most ${MOST_PROVIDERS} providers`, code: 'too_many' },
        ])
      if (provider.isDefault) await this.noDefault(tx, tenantId)
      await tx.insert(StorageProvider, provider)
      await this.audit.record(tx, {
        actor: caller,
        action: 'provider.create',
        resource: ['provider', id],
        after: audited(provider),
      })
    })
    return shown(provider)
  }

  /** Members left out stay; credentials are given as a whole. */
  async update(caller: Principal, id: string, change: ProviderChange, expected?: Expected): Promise<ShownProvider> {
    if (id === EMBEDDED_PROVIDER) return await this.updateEmbedded(caller, change, expected)
    const { tenantId } = caller
    return await this.changeDefault(tenantId, async (tx) => {
      const provider = await this.find(tx, tenantId, id, 'lock')
      requireMatch(expected, provider.updatedAt)
      requireType(change, provider)
      const before = audited(provider)
      const faults = bucketFaults(change.bucket)
      if (change.isDefault === false && provider.isDefault) faults.push(NEEDS_ANOTHER)
      const settings = settingsAfter({ ...provider, endpoint: new URL(provider.endpoint) }, change, faults)
      if (!settings || faults.length > 0) throw new ValidationFailed(faults)
      if (change.isDefault && !provider.isDefault) await this.noDefault(tx, tenantId)
      Object.assign(provider, {
        name: change.name ?? provider.name,
        endpoint: settings.endpoint.href,
        region: change.region === undefined ? provider.region : change.region,
        bucket: change.bucket === undefined ? provider.bucket : change.bucket,
        isDefault: change.isDefault ?? provider.isDefault,
        updatedAt: changeTime(this.clock.now(), provider.updatedAt),
      })
      if (settings.credentials) {
        provider.credentialNames = namesOf(change.credentials ?? {})
        const sealed = this.sealer.seal(JSON.stringify(settings.credentials), placeOfProvider(tenantId, id))
        Object.assign(provider, sealed)
      }
      await tx.update(StorageProvider, { id }, provider)
      await this.audit.record(tx, {
        actor: caller,
        action: 'provider.update',
        resource: ['provider', id],
        before,
        after: { ...audited(provider), ...(settings.credentials && { credentialsChanged: true }) },
      })
      return shown(provider)
    })
  }

  /** Refused while something needs it. */
  async remove(caller: Principal, id: string, expected?: Expected): Promise<void> {
    const { tenantId } = caller
    if (id === EMBEDDED_PROVIDER) throw new ProviderInUse('The embedded provider is built in')
    await this.changeDefault(tenantId, async (tx) => {
      const provider = await this.find(tx, tenantId, id, 'lock')
      requireMatch(expected, provider.updatedAt)
      if (provider.isDefault) throw new ProviderInUse('It is the default: make another provider the default first')
      const artifacts = 'select 1 from artifact where tenant_id = $1 and provider_id = $2 limit 1'
      if ((await tx.query<unknown[]>(artifacts, [tenantId, id])).length > 0)
        throw new ProviderInUse('Artifacts are stored in it')
      await tx.delete(StorageProvider, { id })
      await this.audit.record(tx, {
        actor: caller,
        action: 'provider.delete',
        resource: ['provider', id],
        before: audited(provider),
      })
    })
  }

  /** What fails is told, not thrown. */
  async test(caller: Principal, id: string): Promise<TestResult> {
    const { bucket } = await this.get(caller, id)
    const { driver } = await this.providers.open(caller.tenantId, id)
    const result = await testConnection(driver, bucket)
    const { success, failedStep } = result
    await this.database.transaction((tx) =>
      this.audit.record(tx, {
        actor: caller,
        action: 'provider.test',
        resource: ['provider', id],
        after: { success, ...(failedStep && { failedStep }) },
      }),
    )
    return result
  }

  /** Of the embedded one nothing can be changed but that it is the default. */
  private async updateEmbedded(
    caller: Principal,
    { isDefault, ...others }: ProviderChange,
    expected?: Expected,
  ): Promise<ShownProvider> {
    const { tenantId } = caller
    return await this.changeDefault(tenantId, async (tx) => {
      const before = await this.embedded(tx, tenantId)
      requireMatch(expected, before.updatedAt)
      requireType(others, before)
      const faults: Fault[] = Object.entries(others).flatMap(([member, value]) =>
        value === undefined || value === before[member as keyof ShownProvider]
          ? []
          : [{ pointer: `#/${member}`, detail: 'The embedded provider is built in', code: 'built_in' }],
      )
      if (isDefault === false && before.isDefault) faults.push(NEEDS_ANOTHER)
      if (faults.length > 0) throw new ValidationFailed(faults)
      if (isDefault) await this.noDefault(tx, tenantId)
      const after = await this.embedded(tx, tenantId)
      await this.audit.record(tx, {
        actor: caller,
        action: 'provider.update',
        resource: ['provider', EMBEDDED_PROVIDER],
        before: { isDefault: before.isDefault },
        after: { isDefault: after.isDefault },
      })
      return after
    })
  }

  /** Changes of one tenant's providers come one after the other, so that of two that want to be the default the last one is. */
  private async changeDefault<T>(tenantId: string, change: (tx: EntityManager) => Promise<T>): Promise<T> {
    return await this.database.transaction(async (tx) => {
      await tx.query('select pg_advisory_xact_lock($1, hashtext($2))', [LOCKS.defaultProvider, tenantId])
      return await change(tx)
    })
  }

  /** What was the default is changed by it, so that its entity tag is another. */
  private async noDefault(tx: EntityManager, tenantId: string): Promise<void> {
    await tx.query(
      `update storage_provider set is_default = false, updated_at = greatest($2, updated_at + interval '1 millisecond')
       where tenant_id = $1 and is_default`,
      [tenantId, this.clock.now()],
    )
  }

  private async find(tx: EntityManager, tenantId: string, id: string, lock?: 'lock'): Promise<StorageProvider> {
    const provider = await tx.findOne(StorageProvider, {
      where: { id, tenantId },
      ...(lock && { lock: { mode: 'pessimistic_write' as const } }),
    })
    if (!provider) throw new ProviderNotFound(id)
    return provider
  }

  private async embedded(tx: EntityManager, tenantId: string): Promise<ShownProvider> {
    const [row]: { created_at: Date; is_default: boolean }[] = await tx.query(
      `select created_at, not exists (select from storage_provider where tenant_id = tenant.id and is_default) as is_default
       from tenant where id = $1`,
      [tenantId],
    )
    if (!row) throw new ProviderNotFound(EMBEDDED_PROVIDER)
    return {
      id: EMBEDDED_PROVIDER,
      name: 'Local MinIO',
      type: 'minio',
      region: null,
      bucket: null,
      credentialNames: [],
      isDefault: row.is_default,
      createdAt: row.created_at,
      updatedAt: row.created_at,
    }
  }
}

const NEEDS_ANOTHER: Fault = {
  pointer: '#/isDefault',
  detail: 'One provider is the default: make another the default instead',
  code: 'needs_default',
}

function bucketFaults(bucket: string | null | undefined): Fault[] {
  const fault = bucket == null ? undefined : bucketNameFault(bucket)
  return fault === undefined ? [] : [{ pointer: '#/bucket', detail: `Bucket ${fault}`, code: 'bucket_name' }]
}

function shown(provider: StorageProvider): ShownProvider {
  const { id, name, type, region, bucket, credentialNames, isDefault, createdAt, updatedAt } = provider
  const endpoint = new URL(provider.endpoint)
  return { id, name, type, endpoint, region, bucket, credentialNames, isDefault, createdAt, updatedAt }
}

/** A provider as the audit trail keeps it. */
function requireType(change: ProviderChange, { type }: { type: ProviderType }): void {
  if (change.type !== undefined && change.type !== type) throw new ProviderTypeImmutable()
}

function audited({ name, type, endpoint, region, bucket, credentialNames, isDefault }: StorageProvider) {
  return { name, type, endpoint, region, bucket, credentialNames, isDefault }
}
