import type { Readable } from 'node:stream'
import type { File, FileMetadata, Bucket as GcsBucket } from '@google-cloud/storage'
import { InvalidRequest } from '../../../platform/http/faults.js'
import { inParallel } from '../../../platform/in-parallel.js'
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
import { unquoted } from './etags.js'
import { providerFailed } from './failures.js'
import { type GcsClient, gcsClient } from './gcs-client.js'
import { uploadInChunks } from './gcs-upload.js'
import { incoming } from './incoming.js'
import { hasObject, keysOf } from './objects.js'
import { Outgoing } from './outgoing.js'

const DELETES_AT_ONCE = 16
const ADDRESSABLE = /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/

interface ListAnswer {
  items?: FileMetadata[]
  prefixes?: string[]
  nextPageToken?: string
}

/** Google Cloud Storage by its JSON API. */
export class GcsDriver implements StorageDriver {
  private readonly host: string
  private readonly region?: string
  private readonly agents: GuardedAgents
  private readonly client: GcsClient

  constructor(settings: SettingsOf<'gcs'>, outbound: GuardedOutbound) {
    this.host = hostOf(settings.endpoint)
    this.region = settings.region
    this.agents = outbound.agents()
    this.client = gcsClient(settings, this.agents)
  }

  async listBuckets(): Promise<Bucket[]> {
    const [buckets] = await this.ask(() => this.client.storage.getBuckets())
    return buckets.map(({ name, metadata }) => ({ name, createdAt: new Date(metadata.timeCreated ?? 0) }))
  }

  async hasBucket(name: string): Promise<boolean> {
    if (!ADDRESSABLE.test(name)) return false
    try {
      await this.client.storage.bucket(name).getMetadata()
      return true
    } catch (error) {
      if (statusOf(error) === 404) return false
      throw this.failed(error)
    }
  }

  async createBucket(name: string): Promise<void> {
    const invalid = () =>
      new BucketNameInvalid(
        'must be 3 to 63 lower-case letters, digits, dots, hyphens and underscores, as Google has it',
      )
    if (!ADDRESSABLE.test(name)) throw invalid()
    await this.ask(() => this.client.storage.createBucket(name, this.region ? { location: this.region } : {}), {
      400: invalid,
      409: () => new BucketExists(name),
    })
  }

  async deleteBucket(name: string, { force }: { force: boolean }): Promise<void> {
    const bucket = this.bucket(name)
    if (force) await inParallel(keysOf(this, name), DELETES_AT_ONCE, (key) => this.deleteObject(name, key))
    await this.ask(() => bucket.delete(), {
      404: () => new BucketNotFound(name),
      409: () => new BucketNotEmpty(name),
    })
  }

  async listObjects(bucket: string, query: ObjectQuery): Promise<ObjectPage> {
    const ask = {
      autoPaginate: false,
      prefix: query.prefix || undefined,
      delimiter: query.delimiter || undefined,
      pageToken: query.continuation,
      maxResults: query.limit,
    }
    const [, , answer] = await this.ask(() => this.bucket(bucket).getFiles(ask), {
      404: () => new BucketNotFound(bucket),
      ...(query.continuation !== undefined && {
        400: () => new InvalidRequest('The continuation is none that was given out'),
      }),
    })
    const {
      items = [],
      prefixes = [],
      nextPageToken,
    } = ((answer as { data?: ListAnswer }).data ?? answer) as ListAnswer
    return {
      objects: items.map((item) => infoOf(item.name ?? '', item)),
      folders: prefixes,
      ...(nextPageToken && { next: nextPageToken }),
    }
  }

  async headObject(bucket: string, key: string): Promise<ObjectInfo> {
    return infoOf(key, await this.metadataOf(bucket, key))
  }

  /** The content of the generation whose metadata were read: two requests, one object. */
  async getObject(
    bucket: string,
    key: string,
    { range, signal }: { range?: ByteRange; signal?: AbortSignal } = {},
  ): Promise<ObjectContent> {
    const metadata = await this.metadataOf(bucket, key)
    const info = infoOf(key, metadata)
    if (range && range.first >= info.size) throw new RangeNotSatisfiable(info.size)
    const last = Math.min(range?.last ?? info.size - 1, info.size - 1)
    const name = encodeURIComponent(key)
    try {
      const { data } = await this.client.request(
        {
          url: `${this.client.url}/b/${bucket}/o/${name}`,
          params: { alt: 'media', ...(metadata.generation !== undefined && { generation: metadata.generation }) },
          headers: {
            // As it is stored: what is stored compressed would be unpacked on the way.
            'accept-encoding': 'gzip',
            ...(range && { range: `bytes=${range.first}-${last}` }),
          },
          ...{ compress: false },
          responseType: 'stream',
        },
        signal,
      )
      const size = range ? last - range.first + 1 : info.size
      const stream = incoming(data as Readable, { size, signal }, (error) => this.failed(error))
      return { info, stream }
    } catch (error) {
      signal?.throwIfAborted()
      throw await this.missing(error, bucket, key)
    }
  }

  /** In chunks, so that one can be sent again; without the last there is no object. */
  async putObject(bucket: string, key: string, content: Readable, options: PutOptions = {}): Promise<ObjectInfo> {
    const body = new Outgoing(content, options.size, options.signal)
    const contentType = options.contentType ?? 'application/octet-stream'
    try {
      this.requireKey(bucket, key)
      if (options.onlyNew && (await hasObject(this, bucket, key))) throw new ObjectExists(key)
      const { metadata, onlyNew, signal } = options
      const made = await uploadInChunks(this.client, { bucket, key, contentType, metadata, onlyNew, signal }, body)
      return { ...infoOf(key, made), size: body.bytes, contentType, metadata: options.metadata ?? {} }
    } catch (error) {
      body.destroy()
      if (body.fault !== undefined) throw body.fault
      if (statusOf(error) === 412) throw new ObjectExists(key)
      throw await this.missing(error, bucket, key)
    }
  }

  async deleteObject(bucket: string, key: string): Promise<void> {
    try {
      await this.file(bucket, key).delete()
    } catch (error) {
      const fault = await this.missing(error, bucket, key)
      if (!(fault instanceof ObjectNotFound)) throw fault
    }
  }

  async presignGet(bucket: string, key: string, presigning: Presigning): Promise<string> {
    const [url] = await this.inUrl(bucket, key).getSignedUrl({
      version: 'v4',
      action: 'read',
      expires: Date.now() + presigning.expiresIn * 1_000,
      responseDisposition: presigning.contentDisposition,
      responseType: presigning.contentType,
    })
    return url
  }

  async presignPut(bucket: string, key: string, { expiresIn }: Presigning): Promise<string> {
    const [url] = await this.inUrl(bucket, key).getSignedUrl({
      version: 'v4',
      action: 'write',
      expires: Date.now() + expiresIn * 1_000,
    })
    return url
  }

  async close(): Promise<void> {
    this.agents.close()
  }

  private async metadataOf(bucket: string, key: string): Promise<FileMetadata> {
    const file = this.file(bucket, key)
    try {
      const [metadata] = await file.getMetadata()
      return metadata
    } catch (error) {
      throw await this.missing(error, bucket, key)
    }
  }

  private bucket(name: string): GcsBucket {
    if (!ADDRESSABLE.test(name)) throw new BucketNotFound(name)
    return this.client.storage.bucket(name)
  }

  private file(bucket: string, key: string): File {
    this.requireKey(bucket, key)
    return this.bucket(bucket).file(key)
  }

  /** A URL cannot name what has `.` or `..` between slashes: the SDK would sign another one. */
  private inUrl(bucket: string, key: string): File {
    if (key.split('/').some((segment) => segment === '.' || segment === '..'))
      throw new ObjectKeyInvalid("No URL of Google's can name an object with '.' or '..' between slashes in its key")
    return this.file(bucket, key)
  }

  private requireKey(bucket: string, key: string): void {
    this.bucket(bucket)
    const fault = keyFault(key)
    if (fault) throw new ObjectKeyInvalid(`Google holds no object ${fault}`)
  }

  private async ask<T>(send: () => Promise<T>, known: Record<number, (() => Error) | undefined> = {}): Promise<T> {
    try {
      return await send()
    } catch (error) {
      throw known[statusOf(error)]?.() ?? this.failed(error)
    }
  }

  /** Which of the two is missing; both are answered with 404. */
  private async missing(error: unknown, bucket: string, key: string): Promise<Error> {
    if (statusOf(error) !== 404) return this.failed(error)
    return (await this.hasBucket(bucket)) ? new ObjectNotFound(key) : new BucketNotFound(bucket)
  }

  private failed(error: unknown): Error {
    return providerFailed(error, this.host, { status: statusOf(error), code: reasonOf(error) })
  }
}

/** Google's rules for names. */
function keyFault(key: string): string | undefined {
  if (key === '.' || key === '..') return `with the key '${key}'`
  if (/[\r\n]/.test(key)) return 'with a line break in its key'
  return key.startsWith('.well-known/acme-challenge/')
    ? 'with a key that begins with .well-known/acme-challenge/'
    : undefined
}

function statusOf(error: unknown): number {
  const { status, code, response } = (error ?? {}) as {
    status?: unknown
    code?: unknown
    response?: { status?: number }
  }
  for (const one of [response?.status, status, code])
    if (Number.isInteger(Number(one)) && Number(one) >= 300) return Number(one)
  return 0
}

function reasonOf(error: unknown): string | undefined {
  const { response } = (error ?? {}) as { response?: { data?: { error?: { errors?: { reason?: unknown }[] } } } }
  const reason = response?.data?.error?.errors?.[0]?.reason
  return typeof reason === 'string' ? reason : undefined
}

function infoOf(key: string, metadata: FileMetadata): ObjectInfo {
  const { size, etag, updated, contentType, metadata: own } = metadata
  return {
    key,
    size: Number(size ?? 0),
    etag: unquoted(etag),
    lastModified: new Date(updated ?? 0),
    contentType,
    metadata: Object.fromEntries(Object.entries(own ?? {}).map(([name, value]) => [name, String(value)])),
  }
}
