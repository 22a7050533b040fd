import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { TestDatabase } from '../../../test/support/database.js'
import type { RunIdentity } from '../../engine/step.js'
import type { Principal } from '../../platform/auth/principal.js'
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { newId } from '../../platform/ids.js'
import { EmbeddedObjectStore } from '../../platform/objects/embedded-object-store.js'
import type { LeftFile } from '../../steps/process/ports.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { EmbeddedStores } from '../storage/embedded/embedded-stores.js'
import { NoPresigner } from '../storage/presigner.fake.js'
import type { StorageDriver } from '../storage/storage-driver.js'
import { type OpenedProvider, StorageProviders } from '../storage/storage-providers.js'
import { ArtifactRemoval } from './artifact-removal.js'
import { ArtifactStates } from './artifact-states.js'
import { ArtifactSweep } from './artifact-sweep.js'
import { ArtifactsQueries } from './artifacts.queries.js'
import { ArtifactsService } from './artifacts.service.js'
import { RunArtifacts } from './run-artifacts.js'

export const MEBIBYTE = 1_048_576

/** What happens instead of, or before, a call of the driver. */
export type Disturbance = (call: keyof StorageDriver, args: unknown[]) => unknown

/** The artifacts of one process, over the embedded store and a clock that stands still. */
export class ArtifactsUnderTest extends StorageProviders {
  readonly clock = new FakeClock()
  readonly limits = { artifactMaxBytes: 8 * MEBIBYTE, artifactQuotaBytes: 10 * MEBIBYTE, artifactRetentionDays: 7 }
  readonly states: ArtifactStates
  readonly removal: ArtifactRemoval
  readonly kept: RunArtifacts
  readonly service: ArtifactsService
  /** Undone by the next test. */
  disturb?: Disturbance
  private readonly stores: EmbeddedStores

  private constructor(
    private readonly database: Pick<TestDatabase, 'sql' | 'dataSource'>,
    readonly folder: string,
  ) {
    super()
    const { sql, dataSource } = database
    this.stores = new EmbeddedStores({
      ...database,
      objects: new EmbeddedObjectStore(folder),
      presigner: new NoPresigner(),
    })
    this.states = new ArtifactStates(sql)
    this.removal = new ArtifactRemoval(this, this.states, this.clock)
    this.kept = new RunArtifacts(this, this.states, this.removal, this.limits, this.clock)
    const queries = new ArtifactsQueries(sql)
    const audit = new AuditTrail()
    this.service = new ArtifactsService(queries, this.states, this.removal, this, audit, dataSource, this.clock)
  }

  static async on(database: Pick<TestDatabase, 'sql' | 'dataSource'>, folder?: string): Promise<ArtifactsUnderTest> {
    return new ArtifactsUnderTest(database, folder ?? (await mkdtemp(join(tmpdir(), 'millrace-artifacts-'))))
  }

  override async open(tenantId: string, providerId = 'default-minio'): Promise<OpenedProvider> {
    const driver = this.storage(tenantId)
    const disturbed = new Proxy(driver, {
      get: (target, call: keyof StorageDriver) => {
        const method = target[call] as (...args: unknown[]) => unknown
        return async (...args: unknown[]) => {
          await this.disturb?.(call, args)
          return await method.apply(target, args)
        }
      },
    })
    return { id: providerId, driver: disturbed }
  }

  /** As it is, undisturbed. */
  storage(tenantId: string): StorageDriver {
    return this.stores.of(tenantId)
  }

  sweep(): ArtifactSweep {
    return new ArtifactSweep(this.database.sql, this.states, this.removal, this.clock)
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}

export function someRun(tenantId = newId('tenant'), accountId = newId('account')): RunIdentity {
  return { id: newId('run'), flowId: newId('flow'), tenantId, accountId }
}

export function callerOf({ tenantId, accountId }: RunIdentity): Principal {
  const credential = { kind: 'password-token' as const }
  return { accountId, tenantId, role: 'user', email: 'user@example.com', name: 'User', credential }
}

export function fileOf(path: string, content: string | Buffer, mediaType = 'text/plain'): LeftFile {
  const bytes = Buffer.from(content)
  const name = path.slice(path.lastIndexOf('/') + 1)
  return { name, path, mediaType, size: bytes.length, content: () => Readable.from(pieces(bytes)) }
}

function* pieces(bytes: Buffer): Iterable<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}

/** A run of the tenant and the account that all processes of one test share. */
export function runOf(id: string): RunIdentity {
  return { ...someRun('tenant_keeping', 'account_KEEPING'), id }
}

/** Another one for every number; some of them in several pieces. */
export function numberedFile(number: number): { path: string; content: string } {
  return { path: `/workspace/${number}`, content: `${number} `.repeat(number % 5 === 0 ? 100_000 : 10) }
}
