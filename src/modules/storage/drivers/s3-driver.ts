import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadBucketCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { InvalidRequest } from '../../../platform/http/faults.js'
import { inParallel } from '../../../platform/in-parallel.js'
import type { GuardedOutbound } from '../../../platform/outbound/guarded-outbound.js'
import { hostOf } from '../../../platform/outbound/host.js'
import type { SettingsOf } from '../provider-settings.js'
import {
  BucketExists,
  BucketNotEmpty,
  BucketNotFound,
  ObjectExists,
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
import { incoming } from './incoming.js'
import { type Metadata, readMetadata, writeMetadata } from './metadata.js'
import { hasObject, keysOf } from './objects.js'
import { Outgoing } from './outgoing.js'
import { type S3Connections, s3Connections } from './s3-client.js'

/** Of what is in memory of one upload: as many parts as are under way at once, and one that is being filled. */
const PARTS_AT_ONCE = 2
const LEAST_PART_BYTES = 8 * 1024 * 1024
const MOST_PARTS = 10_000
const DELETES_AT_ONCE = 16
const PARTS_WAIT_MS = 5_000

/** Names that could not be read as anything but a bucket's: neither as a path nor as one of the SDK's own notations. */
const ADDRESSABLE = /^(?!.*(?:--[a-z]+-s3|-s3alias|\.mrap)$)[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/

type Fault = { name?: unknown; $metadata?: { httpStatusCode?: number } }

/** Amazon S3, and services that speak its protocol (MinIO, Swift, Ceph and others), which are addressed by path. */
export class S3Driver implements StorageDriver {
  private readonly host: string
  private readonly connections: S3Connections
  private readonly client: S3Client

  constructor(settings: SettingsOf<'minio' | 's3'>, outbound: GuardedOutbound) {
    this.host = hostOf(settings.endpoint)
    this.connections = s3Connections(settings, outbound)
    this.client = this.connections.client
  }

  async listBuckets(): Promise<Bucket[]> {
    const { Buckets = [] } = await this.ask(() => this.client.send(new ListBucketsCommand({})))
    return Buckets.map(({ Name = '', CreationDate }) => ({ name: Name, createdAt: CreationDate ?? new Date(0) }))
  }

  async hasBucket(name: string): Promise<boolean> {
    if (!ADDRESSABLE.test(name)) return false
    try {
      await this.client.send(new HeadBucketCommand({ Bucket: name }))
      return true
    } catch (error) {
      if (statusOf(error) === 404) return false
      throw this.failed(error)
    }
  }

  /** Amazon answers for one's own bucket as if it had made it, so it is asked for first. */
  async createBucket(name: string): Promise<void> {
    if (await this.hasBucket(name)) throw new BucketExists(name)
    await this.ask(() => this.client.send(new CreateBucketCommand({ Bucket: name })), {
      BucketAlreadyOwnedByYou: () => new BucketExists(name),
      BucketAlreadyExists: () => new BucketExists(name),
    })
  }

  async deleteBucket(name: string, { force }: { force: boolean }): Promise<void> {
    this.requireAddressable(name)
    if (force) await inParallel(keysOf(this, name), DELETES_AT_ONCE, (key) => this.deleteObject(name, key))
    await this.ask(() => this.client.send(new DeleteBucketCommand({ Bucket: name })), {
      NoSuchBucket: () => new BucketNotFound(name),
      BucketNotEmpty: () => new BucketNotEmpty(name),
    })
  }

  async listObjects(bucket: string, query: ObjectQuery): Promise<ObjectPage> {
    this.requireAddressable(bucket)
    const command = new ListObjectsV2Command({
      Bucket: bucket,
      Prefix: query.prefix || undefined,
      Delimiter: query.delimiter || undefined,
      ContinuationToken: query.continuation,
      MaxKeys: query.limit,
      EncodingType: 'url',
    })
    const page = await this.ask(() => this.client.send(command), {
      NoSuchBucket: () => new BucketNotFound(bucket),
      ...(query.continuation !== undefined && {
        InvalidArgument: () => new InvalidRequest('The continuation is none that was given out'),
      }),
    })
    const read = page.EncodingType === 'url' ? decoded : (text: string) => text
    return {
      objects: (page.Contents ?? []).map((object) => ({
        key: read(object.Key ?? ''),
        size: object.Size ?? 0,
        etag: unquoted(object.ETag),
        lastModified: object.LastModified ?? new Date(0),
      })),
      folders: (page.CommonPrefixes ?? []).map(({ Prefix = '' }) => read(Prefix)),
      ...(page.IsTruncated && page.NextContinuationToken && { next: page.NextContinuationToken }),
    }
  }

  async headObject(bucket: string, key: string): Promise<ObjectInfo> {
    this.requireAddressable(bucket)
    try {
      return infoOf(key, await this.client.send(new HeadObjectCommand({ Bucket: bucket, Key: key })))
    } catch (error) {
      throw await this.missing(error, bucket, key)
    }
  }

  async getObject(
    bucket: string,
    key: string,
    { range, signal }: { range?: ByteRange; signal?: AbortSignal } = {},
  ): Promise<ObjectContent> {
    this.requireAddressable(bucket)
    const command = new GetObjectCommand({
      Bucket: bucket,
      Key: key,
      Range: range && `bytes=${range.first}-${range.last ?? ''}`,
    })
    let found: GetObjectCommandOutput
    try {
      found = await this.client.send(command, { abortSignal: signal })
    } catch (error) {
      signal?.throwIfAborted()
      if (statusOf(error) === 416) throw new RangeNotSatisfiable((await this.headObject(bucket, key)).size)
      throw await this.missing(error, bucket, key)
    }
    const size = found.ContentLength ?? 0
    const stream = incoming(found.Body as Readable, { size, signal }, (error) => this.failed(error))
    const whole = /\/(\d+)$/.exec(found.ContentRange ?? '')?.[1]
    return { info: { ...infoOf(key, found), size: whole === undefined ? size : Number(whole) }, stream }
  }

  /** In parts, so that a part can be sent again; what is smaller than one goes as a whole. */
  async putObject(bucket: string, key: string, content: Readable, options: PutOptions = {}): Promise<ObjectInfo> {
    const body = new Outgoing(content, options.size, options.signal)
    let upload: Upload | undefined
    try {
      this.requireAddressable(bucket)
      const metadata = writeMetadata(options.metadata)
      if (options.onlyNew && (await hasObject(this, bucket, key))) throw new ObjectExists(key)
      const contentType = options.contentType ?? 'application/octet-stream'
      upload = new Upload({
        client: this.client,
        partSize: Math.max(LEAST_PART_BYTES, Math.ceil((options.size ?? 0) / MOST_PARTS)),
        queueSize: PARTS_AT_ONCE,
        params: {
          Bucket: bucket,
          Key: key,
          Body: body,
          ContentType: contentType,
          Metadata: metadata,
          ...(options.onlyNew && { IfNoneMatch: '*' }),
        },
      })
      body.on('error', () => void upload?.abort())
      const { ETag } = await upload.done()
      return {
        key,
        size: body.bytes,
        etag: unquoted(ETag),
        lastModified: new Date(),
        contentType,
        metadata: options.metadata ?? {},
      }
    } catch (error) {
      body.destroy()
      await this.removeParts(bucket, key, upload?.uploadId)
      if (body.fault !== undefined) throw body.fault
      if (['PreconditionFailed', 'ConditionalRequestConflict'].includes(nameOf(error))) throw new ObjectExists(key)
      throw await this.missing(error, bucket, key)
    }
  }

  async deleteObject(bucket: string, key: string): Promise<void> {
    this.requireAddressable(bucket)
    try {
      await this.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))
    } catch (error) {
      const fault = await this.missing(error, bucket, key)
      if (!(fault instanceof ObjectNotFound)) throw fault
    }
  }

  async presignGet(bucket: string, key: string, presigning: Presigning): Promise<string> {
    this.requireAddressable(bucket)
    const command = new GetObjectCommand({
      Bucket: bucket,
      Key: key,
      ResponseContentDisposition: presigning.contentDisposition,
      ResponseContentType: presigning.contentType,
    })
    return await this.ask(() => getSignedUrl(this.connections.presigning, command, { expiresIn: presigning.expiresIn }))
  }

  async presignPut(bucket: string, key: string, { expiresIn }: Presigning): Promise<string> {
    this.requireAddressable(bucket)
    const command = new PutObjectCommand({ Bucket: bucket, Key: key })
    return await this.ask(() => getSignedUrl(this.connections.presigning, command, { expiresIn }))
  }

  async close(): Promise<void> {
    this.connections.close()
  }

  /** The SDK does so where a part fails, but not where it cannot complete them. */
  private async removeParts(bucket: string, key: string, uploadId: string | undefined): Promise<void> {
    if (uploadId === undefined) return
    const command = new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: uploadId })
    const removed = this.client.send(command).catch(() => {})
    // Whoever waits for the upload is not kept by a service that has stopped answering.
    await Promise.race([removed, delay(PARTS_WAIT_MS, undefined, { ref: false })])
  }

  private requireAddressable(bucket: string): void {
    if (!ADDRESSABLE.test(bucket)) throw new BucketNotFound(bucket)
  }

  private async ask<T>(send: () => Promise<T>, known: Record<string, (() => Error) | undefined> = {}): Promise<T> {
    try {
      return await send()
    } catch (error) {
      throw known[nameOf(error)]?.() ?? this.failed(error)
    }
  }

  /** Which of the two is missing; an answer without a body does not say. */
  private async missing(error: unknown, bucket: string, key: string): Promise<Error> {
    if (statusOf(error) !== 404) return this.failed(error)
    const isBucket = nameOf(error) === 'NoSuchBucket' || !(await this.hasBucket(bucket))
    return isBucket ? new BucketNotFound(bucket) : new ObjectNotFound(key)
  }

  private failed(error: unknown): Error {
    return providerFailed(error, this.host, { status: statusOf(error), code: nameOf(error) })
  }
}

function statusOf(error: unknown): number {
  return (error as Fault | undefined)?.$metadata?.httpStatusCode ?? 0
}

function nameOf(error: unknown): string {
  const name = (error as Fault | undefined)?.name
  return typeof name === 'string' ? name : ''
}

function infoOf(key: string, found: HeadObjectCommandOutput | GetObjectCommandOutput): ObjectInfo {
  return {
    key,
    size: found.ContentLength ?? 0,
    etag: unquoted(found.ETag),
    lastModified: found.LastModified ?? new Date(0),
    contentType: found.ContentType,
    metadata: readMetadata(found.Metadata as Metadata | undefined),
  }
}

/** As forms are encoded: a space may be a plus. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}
