import { randomUUID } from 'node:crypto'
import { Inject, Injectable } from '@nestjs/common'
import type { RunIdentity } from '../../engine/step.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Config } from '../../platform/config/config.js'
import { DomainError } from '../../platform/errors/domain-error.js'
import { newId } from '../../platform/ids.js'
import type { ArtifactSink, LeftFile } from '../../steps/process/ports.js'
import { artifactsBucket } from '../storage/bucket-access.js'
import { BucketExists, BucketNotFound, ObjectExists } from '../storage/storage.errors.js'
import type { StorageDriver } from '../storage/storage-driver.js'
import { StorageProviders } from '../storage/storage-providers.js'
import { keyOf, mediaTypeOf, nameOf } from './artifact-place.js'
import { ArtifactRemoval } from './artifact-removal.js'
import { type ArtifactPlace, ArtifactStates, type Reservation } from './artifact-states.js'
import { artifactBusy, artifactExists, artifactTooLarge, notStored, quotaExceeded } from './artifacts.errors.js'
import { fingerprinted, fingerprintOf } from './fingerprint.js'

const DAY_MS = 86_400_000
/** Well before an upload counts as abandoned. */
const LONGEST_UPLOAD_MS = 12 * 3_600_000
/** How often what an earlier upload left is put out of the way. */
const ATTEMPTS = 3

const MOST_BUCKETS = 10_000

type Place = Extract<Reservation, { is: 'reserved' }>['row']

/**
 * Keeps what runs leave, in the bucket of their account with the tenant's default provider: first the row, which has the place and the
 * bytes for itself, then the object, then the row's fingerprint.
 */
@Injectable()
export class RunArtifacts implements ArtifactSink {
  /** Those that are known to be there. */
  private readonly buckets = new Set<string>()

  constructor(
    private readonly providers: StorageProviders,
    private readonly states: ArtifactStates,
    private readonly removal: ArtifactRemoval,
    @Inject(Config)
    private readonly config: Pick<Config, 'artifactMaxBytes' | 'artifactQuotaBytes' | 'artifactRetentionDays'>,
    @Inject(CLOCK) private readonly clock: Pick<Clock, 'now'>,
  ) {}

  async keep(run: RunIdentity, file: LeftFile): Promise<string> {
    const { artifactMaxBytes: limit, artifactQuotaBytes: quota } = this.config
    if (file.size > limit) throw artifactTooLarge(file.path, file.size, limit)
    const claim = randomUUID()
    const reservation = await this.states.reserve(
      await this.placeFor(run, file),
      claim,
      quota || Number.MAX_SAFE_INTEGER,
    )
    if (reservation.is === 'full') throw quotaExceeded(file.path, file.size, quota)
    if (reservation.is === 'being removed') throw artifactBusy(file.path)
    if (reservation.is === 'kept') return await this.same(reservation.row, file)
    return await this.upload(run, file, reservation.row, claim)
  }

  private async placeFor(run: RunIdentity, file: LeftFile): Promise<ArtifactPlace> {
    const { id: providerId } = await this.opened(run.tenantId, file)
    return {
      id: newId('artifact'),
      runId: run.id,
      tenantId: run.tenantId,
      accountId: run.accountId,
      name: nameOf(file),
      path: file.path,
      mediaType: mediaTypeOf(file),
      size: file.size,
      providerId,
      bucket: artifactsBucket(run.accountId),
      key: keyOf(run.id, file),
      createdAt: this.clock.now(),
    }
  }

  /** The id of what is kept already, where it is the same. */
  private async same(kept: { id: string; size_bytes: number; sha256: string | null }, file: LeftFile): Promise<string> {
    if (kept.size_bytes !== file.size) throw artifactExists(file.path)
    const { sha256 } = await fingerprintOf(file.content())
    if (sha256 !== kept.sha256) throw artifactExists(file.path)
    return kept.id
  }

  private async upload(run: RunIdentity, file: LeftFile, place: Place, claim: string): Promise<string> {
    try {
      const { driver } = await this.opened(run.tenantId, file, place.provider_id)
      const sha256 = await this.put(driver, place, claim, file)
      if (await this.states.finish(place.id, claim, sha256, this.expiry())) return place.id
    } catch (error) {
      if (await this.states.giveUp(place.id, claim, this.clock.now())) await this.removal.tryOne(place.id)
      throw error instanceof DomainError ? notStored(file.path, error) : error
    }
    // Whoever has the claim now puts what was stored out of the way.
    throw artifactBusy(file.path)
  }

  /** Resolves with the SHA-256 of what is stored under the key, which nobody else can replace any more. */
  private async put(driver: StorageDriver, place: Place, claim: string, file: LeftFile): Promise<string> {
    const { bucket, key } = place
    await this.ensureBucket(driver, place)
    const { size } = file
    const signal = AbortSignal.timeout(LONGEST_UPLOAD_MS)
    for (let attempt = 1; ; attempt++) {
      const { stream, fingerprint } = fingerprinted(file.content())
      try {
        const contentType = mediaTypeOf(file)
        await driver.putObject(bucket, key, stream, { contentType, size, onlyNew: true, signal })
        return fingerprint().sha256
      } catch (error) {
        if (attempt === ATTEMPTS) throw error
        // Somebody has deleted it where it is, past all rules of ours.
        if (error instanceof BucketNotFound) await createBucket(driver, bucket)
        else if (error instanceof ObjectExists) await this.clear(driver, place, claim, file)
        else throw error
      } finally {
        stream.destroy()
      }
    }
  }

  /** Looked for once in each process: without it, a large file would be sent only to be refused. */
  private async ensureBucket(driver: StorageDriver, { provider_id, bucket }: Place): Promise<void> {
    const known = `${provider_id} ${bucket}`
    if (this.buckets.has(known)) return
    if (!(await driver.hasBucket(bucket))) await createBucket(driver, bucket)
    if (this.buckets.size >= MOST_BUCKETS) this.buckets.clear()
    this.buckets.add(known)
  }

  /** Puts out of the way what an upload has left that nobody finished. Where somebody has taken this one over, it may be theirs. */
  private async clear(driver: StorageDriver, { id, bucket, key }: Place, claim: string, file: LeftFile): Promise<void> {
    if (!(await this.states.holding(id, claim, () => driver.deleteObject(bucket, key)))) throw artifactBusy(file.path)
  }

  private async opened(tenantId: string, { path }: LeftFile, providerId?: string) {
    try {
      return await this.providers.open(tenantId, providerId)
    } catch (error) {
      throw error instanceof DomainError ? notStored(path, error) : error
    }
  }

  private expiry(): Date | null {
    const { artifactRetentionDays: days } = this.config
    return days === 0 ? null : new Date(this.clock.now().getTime() + days * DAY_MS)
  }
}

async function createBucket(driver: StorageDriver, bucket: string): Promise<void> {
  try {
    await driver.createBucket(bucket)
  } catch (error) {
    if (!(error instanceof BucketExists)) throw error
  }
}
