import type { Readable } from 'node:stream'
import {
  type BlobClient,
  BlobSASPermissions,
  type BlobServiceClient,
  type BlockBlobClient,
  type ContainerClient,
  isRestError,
} from '@azure/storage-blob'
import { InvalidRequest } from '../../../platform/http/faults.js'
import type { GuardedAgents } from '../../../platform/outbound/guarded-agents.js'
import type { GuardedOutbound } from '../../../platform/outbound/guarded-outbound.js'
import { hostOf } from '../../../platform/outbound/host.js'
import type { SettingsOf } from '../provider-settings.js'
import {
  BucketExists,
  BucketNameInvalid,
  BucketNotEmpty,
  BucketNotFound,
  ObjectExists,
  ObjectKeyInvalid,
  ObjectNotFound,
  RangeNotSatisfiable,
} from '../storage.errors.js'
import type {
  Bucket,
  ByteRange,
  ObjectContent,
  ObjectInfo,
  ObjectPage,
  ObjectQuery,
  Presigning,
  PutOptions,
  StorageDriver,
} from '../storage-driver.js'
import { azureClient } from './azure-client.js'
import { unquoted } from './etags.js'
import { providerFailed } from './failures.js'
import { incoming } from './incoming.js'
import { type Metadata, readMetadata, writeMetadata } from './metadata.js'
import { Outgoing } from './outgoing.js'

/** Of what is in memory of one upload: as many blocks as are under way or being filled. */
const BLOCKS_AT_ONCE = 3
const LEAST_BLOCK_BYTES = 8 * 1024 * 1024
const MOST_BLOCKS = 50_000

/** Azure's rules; `$web` and the like are containers too. */
const ADDRESSABLE = /^(?:\$(?:root|web|logs)|(?=.{3,63}$)[a-z0-9](?:-?[a-z0-9])*)$/

type Known = Record<string, (() => Error) | undefined>

/** Azure Blob Storage: a bucket is a container, an object a block blob. */
export class AzureBlobDriver implements StorageDriver {
  private readonly host: string
  private readonly agents: GuardedAgents
  private readonly service: BlobServiceClient

  constructor(settings: SettingsOf<'azure-blob'>, outbound: GuardedOutbound) {
    this.host = hostOf(settings.endpoint)
    this.agents = outbound.agents()
    this.service = azureClient(settings, this.agents)
  }

  async listBuckets(): Promise<Bucket[]> {
    return await this.ask(async () => {
      const buckets: Bucket[] = []
      for await (const { name, properties } of this.service.listContainers())
        buckets.push({ name, createdAt: properties.lastModified })
      return buckets
    })
  }

  async hasBucket(name: string): Promise<boolean> {
    if (!ADDRESSABLE.test(name)) return false
    return await this.ask(() => this.service.getContainerClient(name).exists())
  }

  async createBucket(name: string): Promise<void> {
    const invalid = () =>
      new BucketNameInvalid('must be 3 to 63 lower-case letters, digits and single hyphens, as Azure has it')
    if (!ADDRESSABLE.test(name)) throw invalid()
    await this.ask(() => this.service.createContainer(name), {
      ContainerAlreadyExists: () => new BucketExists(name),
      InvalidResourceName: invalid,
      OutOfRangeInput: invalid,
    })
  }

  /** Azure deletes a container with all that is in it, so what is in it is looked for first. */
  async deleteBucket(name: string, { force }: { force: boolean }): Promise<void> {
    const container = this.container(name)
    if (!force) {
      const { objects } = await this.listObjects(name, { limit: 1 })
      if (objects.length > 0) throw new BucketNotEmpty(name)
    }
    await this.ask(() => container.delete(), this.missing(name))
  }

  async listObjects(bucket: string, query: ObjectQuery): Promise<ObjectPage> {
    const container = this.container(bucket)
    const options = { prefix: query.prefix || undefined }
    const paging = { maxPageSize: query.limit, continuationToken: query.continuation }
    const pages = query.delimiter
      ? container.listBlobsByHierarchy(query.delimiter, options).byPage(paging)
      : container.listBlobsFlat(options).byPage(paging)
    const { value: page } = await this.ask(async () => await pages.next(), {
      ...this.missing(bucket),
      ...(query.continuation !== undefined && {
        InvalidQueryParameterValue: () => new InvalidRequest('The continuation is none that was given out'),
        OutOfRangeInput: () => new InvalidRequest('The continuation is none that was given out'),
      }),
    })
    const { segment, continuationToken } = page
    const folders = 'blobPrefixes' in segment ? (segment.blobPrefixes ?? []) : []
    return {
      objects: segment.blobItems.map(({ name, properties }: (typeof segment.blobItems)[number]) => ({
        key: name,
        size: properties.contentLength ?? 0,
        etag: unquoted(properties.etag),
        lastModified: properties.lastModified,
        contentType: properties.contentType,
      })),
      folders: folders.map(({ name }: { name: string }) => name),
      ...(continuationToken && { next: continuationToken }),
    }
  }

  async headObject(bucket: string, key: string): Promise<ObjectInfo> {
    const blob = this.blob(bucket, key)
    return infoOf(key, await this.ask(() => blob.getProperties(), this.missing(bucket, key)))
  }

  async getObject(
    bucket: string,
    key: string,
    { range, signal }: { range?: ByteRange; signal?: AbortSignal } = {},
  ): Promise<ObjectContent> {
    const blob = this.blob(bucket, key)
    const count = range?.last === undefined ? undefined : range.last - range.first + 1
    try {
      const found = await blob.download(range?.first ?? 0, count, { abortSignal: signal, maxRetryRequests: 3 })
      const size = found.contentLength ?? 0
      const whole = Number(/\/(\d+)$/.exec(found.contentRange ?? '')?.[1] ?? size)
      const stream = incoming(found.readableStreamBody as Readable, { size, signal }, (error) => this.failed(error))
      if (range && range.first >= whole) {
        stream.destroy()
        throw new RangeNotSatisfiable(whole)
      }
      return { info: { ...infoOf(key, found), size: whole }, stream }
    } catch (error) {
      signal?.throwIfAborted()
      if (isRestError(error) && error.statusCode === 416)
        throw new RangeNotSatisfiable((await this.headObject(bucket, key)).size)
      throw this.known(error, this.missing(bucket, key))
    }
  }

  /** In blocks, which are nothing until they are committed together; the service forgets those that never are. */
  async putObject(bucket: string, key: string, content: Readable, options: PutOptions = {}): Promise<ObjectInfo> {
    const body = new Outgoing(content, options.size, options.signal)
    const contentType = options.contentType ?? 'application/octet-stream'
    try {
      const blob = this.blob(bucket, key)
      await this.ask(() => this.requireNew(blob, options), { BlobAlreadyExists: () => new ObjectExists(key) })
      const blockSize = Math.max(LEAST_BLOCK_BYTES, Math.ceil((options.size ?? 0) / MOST_BLOCKS))
      const made = await blob.uploadStream(body, blockSize, BLOCKS_AT_ONCE, {
        blobHTTPHeaders: { blobContentType: contentType },
        metadata: writeMetadata(options.metadata),
        abortSignal: options.signal,
        ...(options.onlyNew && { conditions: { ifNoneMatch: '*' } }),
      })
      return {
        key,
        size: body.bytes,
        etag: unquoted(made.etag),
        lastModified: made.lastModified ?? new Date(),
        contentType,
        metadata: options.metadata ?? {},
      }
    } catch (error) {
      body.destroy()
      if (body.fault !== undefined) throw body.fault
      throw this.known(error, {
        ...this.missing(bucket, key),
        BlobAlreadyExists: () => new ObjectExists(key),
        ...(options.onlyNew && { ConditionNotMet: () => new ObjectExists(key) }),
      })
    }
  }

  async deleteObject(bucket: string, key: string): Promise<void> {
    const blob = this.blob(bucket, key)
    await this.ask(() => blob.deleteIfExists({ deleteSnapshots: 'include' }), this.missing(bucket, key))
  }

  async presignGet(bucket: string, key: string, presigning: Presigning): Promise<string> {
    return await this.blob(bucket, key).generateSasUrl({
      permissions: BlobSASPermissions.from({ read: true }),
      expiresOn: new Date(Date.now() + presigning.expiresIn * 1_000),
      contentDisposition: presigning.contentDisposition,
      contentType: presigning.contentType,
    })
  }

  /** Whoever puts to it must say `x-ms-blob-type: BlockBlob`. */
  async presignPut(bucket: string, key: string, { expiresIn }: Presigning): Promise<string> {
    return await this.blob(bucket, key).generateSasUrl({
      permissions: BlobSASPermissions.from({ create: true, write: true }),
      expiresOn: new Date(Date.now() + expiresIn * 1_000),
    })
  }

  async close(): Promise<void> {
    this.agents.close()
  }

  /** Without a condition, or with one that would be asked only when all has been sent. */
  private async requireNew(blob: BlobClient, { onlyNew }: PutOptions): Promise<void> {
    if (onlyNew && (await blob.exists())) throw Object.assign(new Error(), { code: 'BlobAlreadyExists' })
  }

  private container(name: string): ContainerClient {
    if (!ADDRESSABLE.test(name)) throw new BucketNotFound(name)
    return this.service.getContainerClient(name)
  }

  private blob(bucket: string, key: string): BlockBlobClient {
    const container = this.container(bucket)
    const fault = keyFault(key)
    if (fault) throw new ObjectKeyInvalid(`Azure holds no object with ${fault} in its key`)
    return container.getBlockBlobClient(key)
  }

  private missing(bucket: string, key?: string): Known {
    return {
      ContainerNotFound: () => new BucketNotFound(bucket),
      ContainerBeingDeleted: () => new BucketNotFound(bucket),
      ...(key !== undefined && { BlobNotFound: () => new ObjectNotFound(key) }),
    }
  }

  private async ask<T>(send: () => Promise<T>, known: Known = {}): Promise<T> {
    try {
      return await send()
    } catch (error) {
      throw this.known(error, known)
    }
  }

  private known(error: unknown, known: Known): Error {
    return known[codeOf(error)]?.() ?? this.failed(error)
  }

  private failed(error: unknown): Error {
    const status = isRestError(error) ? (error.statusCode ?? 0) : 0
    return providerFailed(error, this.host, { status, code: codeOf(error) })
  }
}

/**
 * Keys that Azure would keep under another name: a URL cannot hold `.` and `..` between slashes, encoded or not; a dot before a slash
 * and at the end is cut off; a backslash becomes a slash.
 */
function keyFault(key: string): string | undefined {
  if (key.includes('\\')) return 'a backslash'
  if (key.split('/').some((segment) => segment.endsWith('.'))) return 'a dot before a slash or at the end'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are meant
  return /[\u0000-\u001f\u007f]/.test(key) ? 'control characters' : undefined
}

/** An answer without a body tells its code in a header. */
function codeOf(error: unknown): string {
  const { code, details } = (error ?? {}) as { code?: unknown; details?: { errorCode?: unknown } }
  return String(details?.errorCode ?? code ?? '')
}

function infoOf(
  key: string,
  found: { contentLength?: number; etag?: string; lastModified?: Date; contentType?: string; metadata?: Metadata },
): ObjectInfo {
  return {
    key,
    size: found.contentLength ?? 0,
    etag: unquoted(found.etag),
    lastModified: found.lastModified ?? new Date(0),
    contentType: found.contentType,
    metadata: readMetadata(found.metadata),
  }
}
