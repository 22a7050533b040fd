import { SCOPES, type Scope } from '../../../platform/auth/scopes.js'
import {
  ArrayField,
  DateField,
  IdField,
  IntField,
  LimitField,
  OffsetField,
  StringField,
} from '../../../platform/openapi/fields.js'
import type { ApiKey } from '../api-key.entity.js'
import type { ApiKeyPage, IssuedApiKey } from '../api-keys.service.js'

/** An API key to be made. */
export class FacilFlowNewApiKey {
  @StringField({ description: 'What to call it.', example: 'Historian export', maxLength: 200 })
  name: string

  @ArrayField({
    of: 'string',
    itemEnum: SCOPES,
    description:
      'What it is for: `standard` opens all that the account may do, `mcp` the channels of the kind `mcp`, `s3` the S3 protocol at `/s3`.',
    example: ['standard'],
    default: ['standard'],
    optional: true,
    minItems: 1,
    maxItems: 10,
  })
  scopes: Scope[] = ['standard']

  @DateField({
    description: 'When it ends by itself. Without this it counts until it is revoked.',
    example: '2099-12-31T23:59:59Z',
    optional: true,
  })
  expiresAt?: string
}

/** Which API keys to list. */
export class FacilFlowApiKeysQuery {
  @LimitField({ default: 100, max: 1000 })
  limit = 100

  @OffsetField()
  offset = 0
}

/** One API key, without its secret. */
export class FacilFlowApiKey {
  @IdField({ description: 'The id.', example: 'key-123' })
  id: string

  @StringField({ description: 'What it is called.', example: 'Historian export', maxLength: 200 })
  name: string

  @ArrayField({ of: 'string', itemEnum: SCOPES, description: 'What it is for.', example: ['standard'], maxItems: 10 })
  scopes: Scope[]

  @DateField({ description: 'When it was made.', example: '2024-01-15T12:00:00Z' })
  createdAt: string

  @DateField({ description: 'When it ends by itself; null: never.', example: '2099-12-31T23:59:59Z', nullable: true })
  expiresAt: string | null

  @DateField({
    description: 'When it was last used, give or take a minute; null: never.',
    example: '2024-01-16T08:30:00Z',
    nullable: true,
  })
  lastUsedAt: string | null
}

/** A new API key. The secret is not shown again. */
export class FacilFlowIssuedApiKey extends FacilFlowApiKey {
  @StringField({
    description: 'The secret, to be sent as `Authorization: Bearer …`. It is not shown again.',
    example: 'eyJ...',
    maxLength: 4096,
  })
  key: string

  @StringField({
    description: 'Of a key with the scope `s3`: what S3 clients call the access key.',
    example: 'MRJX5L2QH7WD3TPAKB4C',
    maxLength: 200,
    optional: true,
  })
  accessKey?: string

  @StringField({
    description: 'Of a key with the scope `s3`: what S3 clients call the secret key. It is not shown again.',
    example: '3hQ9vR1tYc0_ZkP7mWn5bXeD8uJf2LsAoGi6TqNy',
    maxLength: 200,
    optional: true,
  })
  secretKey?: string
}

/** API keys. */
export class FacilFlowApiKeyList {
  @ArrayField({ of: () => FacilFlowApiKey, description: 'The keys.' })
  apiKeys: FacilFlowApiKey[]

  @IntField({ description: 'How many there are in all.', example: 1 })
  total: number
}

export function toApiKey(key: ApiKey): FacilFlowApiKey {
  return {
    id: key.id,
    name: key.name,
    scopes: key.scopes,
    createdAt: key.createdAt.toISOString(),
    expiresAt: key.expiresAt?.toISOString() ?? null,
    lastUsedAt: key.lastUsedAt?.toISOString() ?? null,
  }
}

export function toIssuedApiKey({ key, token, pair }: IssuedApiKey): FacilFlowIssuedApiKey {
  return { ...toApiKey(key), key: token, ...pair }
}

export function toApiKeyList({ keys, total }: ApiKeyPage): FacilFlowApiKeyList {
  return { apiKeys: keys.map(toApiKey), total }
}
