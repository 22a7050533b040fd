import type { Readable } from 'node:stream'
import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import type { DataSource } from 'typeorm'
import type { Principal } from '../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { sessionOf } from '../../platform/database/typeorm-session.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { BucketNotFound, ObjectNotFound, ProviderFailed } from '../storage/storage.errors.js'
import type { ByteRange } from '../storage/storage-driver.js'
import { StorageProviders } from '../storage/storage-providers.js'
import { ArtifactRemoval } from './artifact-removal.js'
import { ArtifactStates } from './artifact-states.js'
import { ArtifactNotFound } from './artifacts.errors.js'
import { type Artifact, ArtifactsQueries } from './artifacts.queries.js'
import { verified } from './fingerprint.js'

/** What runs have left, as their account sees it. */
@Injectable()
export class ArtifactsService {
  constructor(
    private readonly queries: ArtifactsQueries,
    private readonly states: ArtifactStates,
    private readonly removal: ArtifactRemoval,
    private readonly providers: StorageProviders,
    private readonly audit: AuditTrail,
    @InjectDataSource() private readonly database: DataSource,
    @Inject(CLOCK) private readonly clock: Pick<Clock, 'now'>,
  ) {}

  /** Newest first. */
  async page(caller: Principal, query: { runId?: string; limit: number; offset: number }): Promise<Artifact[]> {
    return await this.queries.page(caller.accountId, query, this.clock.now())
  }

  async get(caller: Principal, id: string): Promise<Artifact> {
    const artifact = await this.queries.find(caller.accountId, id, this.clock.now())
    if (!artifact) throw new ArtifactNotFound(id)
    return artifact
  }

  /** Its bytes, or some of them; the whole ends with an error where it is not what was stored. `signal` lets go of it. */
  async content(artifact: Artifact, range: ByteRange | undefined, signal: AbortSignal): Promise<Readable> {
    try {
      const { driver } = await this.providers.open(artifact.tenantId, artifact.providerId)
      const { stream } = await driver.getObject(artifact.bucket, artifact.key, { range, signal })
      return range ? stream : verified(stream, artifact.sha256)
    } catch (error) {
      if (error instanceof BucketNotFound || error instanceof ObjectNotFound)
        throw new ProviderFailed('The content of the artifact is not where it was stored', error)
      throw error
    }
  }

  /** At once for everybody; what its provider cannot delete now it deletes later. */
  async delete(caller: Principal, id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      const artifact = await this.states.withdraw(sessionOf(tx), caller.accountId, id, this.clock.now())
      if (!artifact) throw new ArtifactNotFound(id)
      const { runId, path, size, sha256 } = artifact
      await this.audit.record(tx, {
        actor: caller,
        action: 'artifact.delete',
        resource: ['artifact', id],
        before: { runId, path, size, sha256 },
      })
    })
    await this.removal.tryOne(id)
  }
}
