import { Injectable } from '@nestjs/common'
import type { Request } from 'express'
import { DataSource } from 'typeorm'
import { Forbidden } from '../../platform/auth/auth.errors.js'
import { Authenticator } from '../../platform/auth/authenticator.js'
import { type Principal, WRITERS } from '../../platform/auth/principal.js'
import { callerOf } from '../../platform/auth/socket-caller.js'
import { BodyTooLarge } from '../../platform/http/refusals.js'
import type { SendableContent } from '../../platform/http/send-content.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { isManaged, isVisible } from '../storage/bucket-access.js'
import { bucketNameFault } from '../storage/bucket-name.js'
import { EmbeddedStores } from '../storage/embedded/embedded-stores.js'
import { BucketNameInvalid, BucketNotFound } from '../storage/storage.errors.js'
import type { Bucket, ObjectInfo, ObjectPage, ObjectQuery } from '../storage/storage-driver.js'
import { type OpenedProvider, StorageProviders } from '../storage/storage-providers.js'
import { BucketManaged, KeyMissing, ObjectReplaced } from './buckets.errors.js'
import { type Note, type NotedChanges, notedChanges } from './noted-changes.js'
import { readUpload, type UploadedFile } from './upload-form.js'

/** Which bucket, and at which provider: the tenant's default unless said. */
export interface BucketPlace {
  bucket: string
  provider?: string
}

/** As S3 has it. */
const MOST_OBJECT_BYTES = 5 * 1024 ** 4
const IN_A_HEADER = /^[\x21-\x7e][\x20-\x7e]{0,255}$/
/** Media types in which nothing can run. */
const HARMLESS = /^(image\/(png|jpeg|gif|webp|avif)|audio\/[\w.+-]+|video\/[\w.+-]+|text\/plain)(;|$)/

/** The buckets of a tenant, at whichever of its storage providers, and the objects in them. */
@Injectable()
export class BucketsService {
  constructor(
    private readonly providers: StorageProviders,
    private readonly stores: EmbeddedStores,
    private readonly dataSource: DataSource,
    private readonly trail: AuditTrail,
    private readonly authenticator: Authenticator,
  ) {}

  /** By name. */
  async list(caller: Principal, provider?: string): Promise<Bucket[]> {
    const { driver } = await this.providers.open(caller.tenantId, provider)
    return (await driver.listBuckets()).filter(({ name }) => isVisible(caller, name))
  }

  async create(caller: Principal, { bucket, provider }: BucketPlace): Promise<Bucket> {
    const fault = isManaged(bucket) ? 'must not begin with artifacts-' : bucketNameFault(bucket)
    if (fault) throw new BucketNameInvalid(fault)
    const { changes, id, driver } = await this.opened(caller, provider)
    await changes.createBucket(bucket, this.noting(caller, 'bucket.create', ['bucket', bucket], id))
    const made = (await driver.listBuckets()).find(({ name }) => name === bucket)
    return made ?? { name: bucket, createdAt: new Date() }
  }

  async delete(caller: Principal, place: BucketPlace, force: boolean): Promise<void> {
    const { changes, id } = await this.writable(caller, place)
    const { bucket } = place
    await changes.deleteBucket(bucket, { force }, this.noting(caller, 'bucket.delete', ['bucket', bucket], id))
  }

  async objects(caller: Principal, place: BucketPlace, query: ObjectQuery): Promise<ObjectPage> {
    const { driver } = await this.readable(caller, place)
    return await driver.listObjects(place.bucket, query)
  }

  /** An object as it is at this moment: reading it fails where it is another by then. */
  async sendable(caller: Principal, place: BucketPlace, key: string): Promise<SendableContent> {
    const { driver } = await this.readable(caller, place)
    const { size, etag, contentType = '' } = await driver.headObject(place.bucket, key)
    const mediaType = IN_A_HEADER.test(contentType) ? contentType : 'application/octet-stream'
    return {
      fileName: key.slice(key.lastIndexOf('/') + 1),
      mediaType,
      mayBeShown: HARMLESS.test(mediaType),
      size,
      version: etag,
      open: async (range, signal) => {
        const { info, stream } = await driver.getObject(place.bucket, key, { range, signal })
        if (info.etag === etag) return stream
        stream.destroy()
        throw new ObjectReplaced()
      },
    }
  }

  /** Stores the file of a form, under its key or else its name. Nothing of it is kept in memory, and nothing is left where it fails. */
  async upload(caller: Principal, place: BucketPlace, request: Request): Promise<ObjectInfo> {
    const opened = await this.writable(caller, place)
    if (Number(request.headers['content-length']) > MOST_OBJECT_BYTES) throw new BodyTooLarge(MOST_OBJECT_BYTES)
    if (!(await opened.driver.hasBucket(place.bucket))) throw new BucketNotFound(place.bucket)
    const take = (file: UploadedFile) =>
      file.keyBefore === undefined
        ? this.putNamedLater(caller, place, opened, file)
        : this.put(caller, place, opened, file.keyBefore, file)
    return await readUpload(request, take, () => this.requireStill(request))
  }

  async remove(caller: Principal, place: BucketPlace, key: string): Promise<void> {
    const { changes, id } = await this.writable(caller, place)
    await changes.deleteObject(place.bucket, key, this.noting(caller, 'object.delete', objectOf(place, key), id))
  }

  async url(caller: Principal, place: BucketPlace, key: string, expiresIn: number): Promise<string> {
    const { driver } = await this.readable(caller, place)
    return await driver.presignGet(place.bucket, key, { expiresIn })
  }

  /** Throws where who began to upload may not do so any more: it may have taken hours. */
  private async requireStill({ headers, host }: Request): Promise<void> {
    const query = new URLSearchParams()
    const { role } = await callerOf({ headers, host, query }, ['bearer', 'session'], this.authenticator)
    if (!WRITERS.includes(role)) throw new Forbidden()
  }

  /** The key may come behind the file. Until then the content waits in the embedded store. */
  private async putNamedLater(
    caller: Principal,
    place: BucketPlace,
    { changes, id }: OpenedChanges,
    { name, contentType, content, key: keyBehind }: UploadedFile,
  ): Promise<ObjectInfo> {
    const staged = await this.stores.of(caller.tenantId).staged(content)
    const key = keyBehind() ?? name
    try {
      if (key === '') throw new KeyMissing()
      const note = this.noting(caller, 'object.put', objectOf(place, key), id)
      return await changes.putStaged(place.bucket, key, staged, { contentType }, note)
    } catch (error) {
      await staged.release()
      throw error
    }
  }

  private put(
    caller: Principal,
    place: BucketPlace,
    { changes, id }: OpenedChanges,
    key: string,
    { contentType, content }: UploadedFile,
  ): Promise<ObjectInfo> {
    const note = this.noting(caller, 'object.put', objectOf(place, key), id)
    return changes.putObject(place.bucket, key, content, { contentType }, note)
  }

  private async readable(caller: Principal, { bucket, provider }: BucketPlace): Promise<OpenedChanges> {
    if (!isVisible(caller, bucket)) throw new BucketNotFound(bucket)
    return await this.opened(caller, provider)
  }

  private async writable(caller: Principal, place: BucketPlace): Promise<OpenedChanges> {
    const opened = await this.readable(caller, place)
    if (isManaged(place.bucket)) throw new BucketManaged(place.bucket)
    return opened
  }

  private async opened(caller: Principal, provider?: string): Promise<OpenedChanges> {
    const opened = await this.providers.open(caller.tenantId, provider)
    return { ...opened, changes: notedChanges(opened.driver, this.dataSource) }
  }

  private noting(actor: Principal, action: string, resource: readonly [string, string], provider: string): Note {
    return (tx, { before, after }) =>
      this.trail.record(tx, { actor, action, resource, before, after: { ...after, provider } })
  }
}

type OpenedChanges = OpenedProvider & { changes: NotedChanges }

function objectOf({ bucket }: BucketPlace, key: string): readonly [string, string] {
  return ['object', `${bucket}/${key}`]
}
