import {
  ArrayField,
  BooleanField,
  DateField,
  EnumField,
  IdField,
  IntField,
  JsonField,
  ObjectField,
  StringField,
} from '../../../platform/openapi/fields.js'
import { PROVIDER_TYPES, type ProviderType } from '../provider-settings.js'
import { TEST_STEPS, type TestResult, type TestStep } from '../providers/connection-test.js'
import type { CredentialsInput } from '../providers/credentials.js'
import type { ShownProvider } from '../providers/providers.service.js'

const CREDENTIALS = [
  'accessKey',
  'secretKey',
  'sessionToken',
  'accountName',
  'accountKey',
  'connectionString',
  'projectId',
  'keyJson',
] as const

const texts = {
  name: { description: 'The name people know it by.', example: 'AWS Production', maxLength: 200 },
  type: {
    description:
      'What kind of service it is. `minio` stands for every service that speaks S3 and is addressed by path. It cannot be changed after creation.',
    example: 's3',
    name: 'FacilFlowStorageProviderType',
  },
  endpoint: {
    description:
      'Where it is: a host, `host:port` or a URL. Left out, where the service usually is; `minio` needs one. Private addresses have to be allowed by the operator.',
    example: 's3.amazonaws.com',
    maxLength: 500,
  },
  port: { description: 'The port, where it is not the usual one.', example: 443, min: 1, max: 65_535 },
  useSSL: { description: 'Whether to speak TLS with it.', example: true },
  region: { description: 'Where new buckets are made.', example: 'us-east-1', maxLength: 63 },
  bucket: {
    description:
      'The bucket that tests of the connection write to. Without one they make a bucket and delete it, for which the credentials must do.',
    example: 'millrace-probe',
    maxLength: 63,
  },
  isDefault: {
    description: 'Whether what names no provider is stored here. One provider of a tenant is.',
    example: false,
  },
}

/** Credentials: those of the type of the provider, and no others. They are stored encrypted and never shown. */
export class FacilFlowStorageCredentials implements CredentialsInput {
  @StringField({
    description: 'The access key, of `minio` and `s3`.',
    example: 'AKIAIOSFODNN7EXAMPLE',
    optional: true,
    maxLength: 256,
    writeOnly: true,
  })
  accessKey?: string

  @StringField({
    description: 'The secret key, of `minio` and `s3`.',
    example: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    optional: true,
    maxLength: 1_024,
    writeOnly: true,
  })
  secretKey?: string

  @StringField({
    description: 'The session token of temporary credentials, of `minio` and `s3`.',
    optional: true,
    maxLength: 8_192,
    writeOnly: true,
  })
  sessionToken?: string

  @StringField({ description: 'The storage account, of `azure-blob`.', optional: true, maxLength: 24, writeOnly: true })
  accountName?: string

  @StringField({ description: 'Its key, of `azure-blob`.', optional: true, maxLength: 512, writeOnly: true })
  accountKey?: string

  @StringField({
    description: 'Both in one, and the endpoint where it is not the usual one, of `azure-blob`.',
    optional: true,
    maxLength: 2_048,
    writeOnly: true,
  })
  connectionString?: string

  @StringField({
    description: 'The project, of `gcs`. Left out, the one that the key names.',
    optional: true,
    maxLength: 100,
    writeOnly: true,
  })
  projectId?: string

  @JsonField({
    description: 'The JSON key of a service account, of `gcs`, as an object or as text.',
    optional: true,
    writeOnly: true,
  })
  keyJson?: string | object
}

/** A provider to be made. */
export class FacilFlowNewStorageProvider {
  @StringField(texts.name)
  name: string

  @EnumField(PROVIDER_TYPES, texts.type)
  type: ProviderType

  @StringField({ ...texts.endpoint, optional: true, nullable: true })
  endpoint?: string | null

  @IntField({ ...texts.port, optional: true, nullable: true })
  port?: number | null

  @BooleanField({ ...texts.useSSL, optional: true, nullable: true })
  useSSL?: boolean | null

  @StringField({ ...texts.region, optional: true, nullable: true })
  region?: string | null

  @StringField({ ...texts.bucket, optional: true, nullable: true })
  bucket?: string | null

  @ObjectField({ type: () => FacilFlowStorageCredentials, description: 'What it lets one in by.', writeOnly: true })
  credentials: FacilFlowStorageCredentials

  @BooleanField({ ...texts.isDefault, optional: true, default: false })
  isDefault?: boolean
}

/** What to change of a provider; what is left out stays. */
export class FacilFlowStorageProviderChange {
  @StringField({ ...texts.name, example: 'Updated Name', optional: true, minLength: 1 })
  name?: string

  @EnumField(PROVIDER_TYPES, {
    ...texts.type,
    description: 'Its type as it is: it cannot be changed after creation.',
    optional: true,
  })
  type?: ProviderType

  @StringField({
    ...texts.endpoint,
    description: `${texts.endpoint.description} With another one, the credentials have to be given again.`,
    optional: true,
    nullable: true,
  })
  endpoint?: string | null

  @IntField({ ...texts.port, optional: true, nullable: true })
  port?: number | null

  @BooleanField({ ...texts.useSSL, optional: true, nullable: true })
  useSSL?: boolean | null

  @StringField({ ...texts.region, optional: true, nullable: true })
  region?: string | null

  @StringField({ ...texts.bucket, optional: true, nullable: true })
  bucket?: string | null

  @ObjectField({
    type: () => FacilFlowStorageCredentials,
    description: 'All of them anew, in place of those that are set.',
    optional: true,
    writeOnly: true,
  })
  credentials?: FacilFlowStorageCredentials

  @BooleanField({ ...texts.isDefault, example: true, optional: true })
  isDefault?: boolean
}

/** One storage provider, without its credentials. */
export class FacilFlowStorageProvider {
  @IdField({ description: "The provider's id.", example: 'default-minio' })
  id: string

  @StringField({ ...texts.name, example: 'Local MinIO' })
  name: string

  @EnumField(PROVIDER_TYPES, { ...texts.type, example: 'minio' })
  type: ProviderType

  @StringField({ description: 'Where it is: a host, or a URL where there is a path to it.', example: 'localhost' })
  endpoint: string

  @IntField({ ...texts.port, description: 'Its port.', example: 9000 })
  port: number

  @BooleanField({ ...texts.useSSL, example: false })
  useSSL: boolean

  @StringField({ ...texts.region, example: null, nullable: true })
  region: string | null

  @StringField({ ...texts.bucket, example: null, nullable: true })
  bucket: string | null

  @ArrayField({
    of: 'string',
    description: 'Which of its credentials are set.',
    example: [],
    maxItems: CREDENTIALS.length,
  })
  credentialsSet: string[]

  @BooleanField({ ...texts.isDefault, example: true })
  isDefault: boolean

  @BooleanField({ description: 'Whether it is the embedded store, which cannot be changed or deleted.', example: true })
  builtIn: boolean

  @DateField({ description: 'When it was made.', example: '2024-01-15T12:00:00Z' })
  createdAt: string

  @DateField({ description: 'When somebody last changed it.', example: '2024-01-15T12:00:00Z' })
  updatedAt: string
}

/** How a test of the connection went. */
export class FacilFlowStorageTest {
  @BooleanField({ description: 'Whether a probe could be written, read and deleted.', example: true })
  success: boolean

  @StringField({ description: 'The same in words, with the reason of a failure.', example: 'Connection successful' })
  message: string

  @EnumField(TEST_STEPS, {
    description:
      'The step that failed: having a bucket, writing the probe, reading it, or deleting it. Null where none did.',
    example: null,
    nullable: true,
  })
  failedStep: TestStep | null
}

export function toProvider(provider: ShownProvider, here: URL): FacilFlowStorageProvider {
  const endpoint = provider.endpoint ?? here
  const secure = endpoint.protocol === 'https:'
  return {
    id: provider.id,
    name: provider.name,
    type: provider.type,
    endpoint: endpoint.pathname === '/' ? endpoint.hostname : endpoint.href,
    port: endpoint.port === '' ? (secure ? 443 : 80) : Number(endpoint.port),
    useSSL: secure,
    region: provider.region,
    bucket: provider.bucket,
    credentialsSet: provider.credentialNames,
    isDefault: provider.isDefault,
    builtIn: provider.endpoint === undefined,
    createdAt: provider.createdAt.toISOString(),
    updatedAt: provider.updatedAt.toISOString(),
  }
}

export function toTest({ success, message, failedStep }: TestResult): FacilFlowStorageTest {
  return { success, message, failedStep: failedStep ?? null }
}
