import { randomUUID } from 'node:crypto'
import { Inject, Injectable, Logger } from '@nestjs/common'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { BucketNotFound, ProviderNotFound } from '../storage/storage.errors.js'
import { StorageProviders } from '../storage/storage-providers.js'
import { ArtifactStates } from './artifact-states.js'
import type { ArtifactRow } from './artifacts.queries.js'

/** Removes artifacts that nobody sees any more: first the object, then the row with the bytes that it had reserved. */
@Injectable()
export class ArtifactRemoval {
  private readonly logger = new Logger(ArtifactRemoval.name)

  constructor(
    private readonly providers: StorageProviders,
    private readonly states: ArtifactStates,
    @Inject(CLOCK) private readonly clock: Pick<Clock, 'now'>,
  ) {}

  /** What cannot be removed now is removed later. */
  async tryOne(id: string): Promise<void> {
    try {
      const claim = randomUUID()
      const row = await this.states.claim(id, claim, this.clock.now())
      if (row) await this.remove(row, claim)
    } catch (error) {
      this.logger.warn({ err: error, artifact: id }, 'an artifact could not be removed yet')
    }
  }

  /** All that are to be removed, until `signal` aborts. One that fails stops no other, and is there the next time. */
  async removeAll(signal: AbortSignal): Promise<{ removed: number; failures: unknown[] }> {
    const claim = randomUUID()
    const failures: unknown[] = []
    let removed = 0
    for (let after = ''; !signal.aborted; ) {
      const rows = await this.states.claimNext(after, claim, this.clock.now())
      const last = rows.at(-1)
      if (!last) break
      after = last.id
      for (const row of rows) {
        if (signal.aborted) break
        try {
          await this.remove(row, claim)
          removed++
        } catch (error) {
          failures.push(error)
        }
      }
    }
    return { removed, failures }
  }

  private async remove(row: ArtifactRow, claim: string): Promise<void> {
    try {
      const { driver } = await this.providers.open(row.tenant_id, row.provider_id)
      await driver.deleteObject(row.bucket, row.key)
    } catch (error) {
      // Where it was there is nothing any more.
      if (!(error instanceof BucketNotFound || error instanceof ProviderNotFound)) throw error
    }
    await this.states.remove(row.id, claim)
  }
}
