import {
  ArrayField,
  BooleanField,
  DateField,
  IdField,
  IntField,
  QueryBooleanField,
  QueryIntField,
  StringField,
} from '../../../platform/openapi/fields.js'
import { ContinuationField, LimitField } from '../../../platform/openapi/paging.js'
import type { Bucket, ObjectInfo, ObjectPage, ObjectQuery } from '../../storage/storage-driver.js'
import type { BucketPlace } from '../buckets.service.js'

const KEY = { maxLength: 1_024, example: 'folder/file.csv' }

/** At which of the tenant's storage providers. */
export class FacilFlowBucketQuery {
  @IdField({
    description: "A storage provider's id; the default one unless said.",
    example: 'default-minio',
    optional: true,
  })
  provider?: string
}

export class FacilFlowBucketDeletion extends FacilFlowBucketQuery {
  @QueryBooleanField({
    description: 'Also where the bucket is not empty: with all that is in it.',
    example: false,
    optional: true,
    default: false,
  })
  force = false
}

export class FacilFlowObjectsQuery extends FacilFlowBucketQuery {
  @StringField({ ...KEY, description: 'Only keys that begin so.', example: 'folder/', optional: true })
  prefix = ''

  @StringField({
    description: 'What ends the name of a folder. Empty, nothing is taken for a folder, and every key is told.',
    example: '/',
    maxLength: 100,
    optional: true,
    default: '/',
  })
  delimiter = '/'

  @QueryBooleanField({
    description: 'Every key that begins with the prefix, whatever folder it is in, as with an empty delimiter.',
    example: false,
    optional: true,
    default: false,
  })
  recursive = false

  @ContinuationField({ example: 'Zm9sZGVyL2ZpbGUuY3N2AQ', maxLength: 8_192 })
  continuation?: string

  @LimitField({ default: 1_000, max: 1_000 })
  limit = 1_000
}

export class FacilFlowUrlQuery extends FacilFlowBucketQuery {
  @QueryIntField({
    description: 'Seconds until it expires.',
    example: 3600,
    min: 1,
    max: 604_800,
    optional: true,
    default: 3600,
  })
  expiry = 3600
}

/** A bucket to be made. */
export class FacilFlowNewBucket {
  @StringField({
    description:
      "The name, by S3's rules: 3 to 63 lower-case letters, digits, hyphens and dots, a letter or digit at both ends, no IP address. `artifacts-` is taken.",
    example: 'my-bucket',
    minLength: 3,
    maxLength: 63,
  })
  name: string
}

/** One bucket. */
export class FacilFlowBucket {
  @StringField({ description: 'The name.', example: 'data-lake', maxLength: 255 })
  name: string

  @DateField({ description: 'When it was made.', example: '2024-01-15T12:00:00Z' })
  creationDate: string
}

/** The buckets of a provider. */
export class FacilFlowBucketList {
  @ArrayField({ of: () => FacilFlowBucket, description: 'The buckets, by name.' })
  buckets: FacilFlowBucket[]
}

/** An object, or a folder of objects. */
export class FacilFlowObject {
  @StringField({ ...KEY, maxLength: 1_124, description: 'The key; of a folder, what the keys in it begin with.' })
  name: string

  @IntField({ description: 'Bytes; of a folder 0.', example: 1024 })
  size: number

  @DateField({
    description: 'When it was put. A folder has no such time.',
    example: '2024-01-15T12:00:00Z',
    optional: true,
  })
  lastModified?: string

  @StringField({ description: 'Changes with the content. A folder has none.', example: 'abc123', optional: true })
  etag?: string

  @BooleanField({ description: 'Whether it stands for all keys that begin with its name.', example: false })
  isFolder: boolean

  @StringField({ description: 'The media type, where the provider tells it.', example: 'text/csv', optional: true })
  contentType?: string
}

/** A page of a bucket. */
export class FacilFlowObjectList {
  @StringField({ description: 'The bucket.', example: 'my-bucket', maxLength: 255 })
  bucket: string

  @StringField({ ...KEY, description: 'What all names begin with.', example: 'folder/', minLength: 0 })
  prefix: string

  @ArrayField({ of: () => FacilFlowObject, description: 'Objects and folders, by name.', maxItems: 1_000 })
  objects: FacilFlowObject[]

  @StringField({
    description: 'What the next page continues from. Absent on the last.',
    example: 'Zm9sZGVyL2ZpbGUuY3N2AQ',
    maxLength: 8_192,
    optional: true,
  })
  next?: string
}

/** A file to be stored. */
export class FacilFlowUpload {
  @StringField({
    description: 'The file. Its name is the key unless `key` says another, and its content type is kept.',
    example: 'id,value\n1,42\n',
    format: 'binary',
    minLength: 0,
    maxLength: 5_497_558_138_880,
  })
  file: string

  @StringField({ ...KEY, description: 'The key. Before or behind the file.', optional: true })
  key?: string
}

/** A URL that needs no other credentials. */
export class FacilFlowObjectUrl {
  @StringField({
    description: 'Gives the object to whoever has it, until it expires.',
    example: 'https://storage.example.com/bucket/file?signature=...',
    format: 'uri',
    maxLength: 16_384,
  })
  url: string
}

export function toPlace(bucket: string, { provider }: FacilFlowBucketQuery): BucketPlace {
  return { bucket, provider }
}

export function toQuery({ prefix, delimiter, recursive, continuation, limit }: FacilFlowObjectsQuery): ObjectQuery {
  return { prefix, delimiter: recursive ? '' : delimiter, continuation, limit }
}

export function toBucket({ name, createdAt }: Bucket): FacilFlowBucket {
  return { name, creationDate: createdAt.toISOString() }
}

export function toBucketList(buckets: readonly Bucket[]): FacilFlowBucketList {
  return { buckets: buckets.map(toBucket) }
}

export function toObject({ key, size, etag, lastModified, contentType }: ObjectInfo): FacilFlowObject {
  return { name: key, size, lastModified: lastModified.toISOString(), etag, isFolder: false, contentType }
}

export function toObjectList(bucket: string, { prefix }: FacilFlowObjectsQuery, page: ObjectPage): FacilFlowObjectList {
  const folders = page.folders.map((name): FacilFlowObject => ({ name, size: 0, isFolder: true }))
  const objects = [...page.objects.map(toObject), ...folders]
  return { bucket, prefix, objects: objects.sort(byName), next: page.next }
}

function byName(one: FacilFlowObject, other: FacilFlowObject): number {
  return Buffer.compare(Buffer.from(one.name), Buffer.from(other.name))
}
