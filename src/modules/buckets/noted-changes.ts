import type { Readable } from 'node:stream'
import type { DataSource, EntityManager } from 'typeorm'
import type { JsonObject } from '../../platform/json.js'
import { EmbeddedStorage, type StagedContent } from '../storage/embedded/embedded-storage.js'
import { ObjectNotFound } from '../storage/storage.errors.js'
import type { ObjectInfo, PutOptions, StorageDriver } from '../storage/storage-driver.js'

/** What became of a bucket or an object. */
export interface Change {
  before?: JsonObject
  after?: JsonObject
}

export type Note = (tx: EntityManager, change: Change) => Promise<void>

/** Changes that leave their entry in the audit trail. */
export interface NotedChanges {
  createBucket(name: string, note: Note): Promise<void>
  deleteBucket(name: string, options: { force: boolean }, note: Note): Promise<void>
  putObject(bucket: string, key: string, content: Readable, options: PutOptions, note: Note): Promise<ObjectInfo>
  /** The same of a content that waits in the embedded store of the tenant. */
  putStaged(bucket: string, key: string, staged: StagedContent, options: PutOptions, note: Note): Promise<ObjectInfo>
  /** Throws `ObjectNotFound`. */
  deleteObject(bucket: string, key: string, note: Note): Promise<void>
}

export function notedChanges(driver: StorageDriver, dataSource: DataSource): NotedChanges {
  return driver instanceof EmbeddedStorage ? new EmbeddedChanges(driver) : new ForeignChanges(driver, dataSource)
}

/** The entry commits with the change. */
class EmbeddedChanges implements NotedChanges {
  constructor(private readonly store: EmbeddedStorage) {}

  createBucket(name: string, note: Note): Promise<void> {
    return this.store.createBucket(name, { within: (tx) => note(tx, {}) })
  }

  deleteBucket(name: string, { force }: { force: boolean }, note: Note): Promise<void> {
    return this.store.deleteBucket(name, { force, within: (tx) => note(tx, {}) })
  }

  putObject(bucket: string, key: string, content: Readable, options: PutOptions, note: Note): Promise<ObjectInfo> {
    return this.store.putObject(bucket, key, content, {
      ...options,
      within: (tx, { before, after }) => note(tx, shown(before, after)),
    })
  }

  putStaged(bucket: string, key: string, staged: StagedContent, options: PutOptions, note: Note): Promise<ObjectInfo> {
    return this.store.putStaged(bucket, key, staged, {
      ...options,
      within: (tx, { before, after }) => note(tx, shown(before, after)),
    })
  }

  async deleteObject(bucket: string, key: string, note: Note): Promise<void> {
    const within = (tx: EntityManager, [before]: ObjectInfo[]) => note(tx, shown(before))
    const removed = await this.store.deleteObjects(bucket, [key], { within })
    if (removed.length === 0) throw new ObjectNotFound(key)
  }
}

/** The service behind a provider changes first; then the entry is written by itself. */
class ForeignChanges implements NotedChanges {
  constructor(
    private readonly driver: StorageDriver,
    private readonly dataSource: DataSource,
  ) {}

  async createBucket(name: string, note: Note): Promise<void> {
    await this.driver.createBucket(name)
    await this.noted(note, {})
  }

  async deleteBucket(name: string, options: { force: boolean }, note: Note): Promise<void> {
    await this.driver.deleteBucket(name, options)
    await this.noted(note, {})
  }

  async putObject(
    bucket: string,
    key: string,
    content: Readable,
    options: PutOptions,
    note: Note,
  ): Promise<ObjectInfo> {
    const after = await this.driver.putObject(bucket, key, content, options)
    await this.noted(note, shown(undefined, after))
    return after
  }

  async putStaged(
    bucket: string,
    key: string,
    staged: StagedContent,
    options: PutOptions,
    note: Note,
  ): Promise<ObjectInfo> {
    try {
      return await this.putObject(bucket, key, await staged.open(), { ...options, size: staged.size }, note)
    } finally {
      await staged.release()
    }
  }

  async deleteObject(bucket: string, key: string, note: Note): Promise<void> {
    const before = await this.driver.headObject(bucket, key)
    await this.driver.deleteObject(bucket, key)
    await this.noted(note, shown(before))
  }

  private noted(note: Note, change: Change): Promise<void> {
    return this.dataSource.transaction((tx) => note(tx, change))
  }
}

function shown(before?: ObjectInfo, after?: ObjectInfo): Change {
  return { ...(before && { before: stateOf(before) }), ...(after && { after: stateOf(after) }) }
}

function stateOf({ size, etag, contentType }: ObjectInfo): JsonObject {
  return { size, etag, ...(contentType !== undefined && { contentType }) }
}
