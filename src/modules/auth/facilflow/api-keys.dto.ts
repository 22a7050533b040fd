import type { Scope } from '../../../platform/auth/scopes.js'
import { ArrayField, DateField, IdField, IntField, StringField } from '../../../platform/openapi/fields.js'
import { pagedBy } from '../../../platform/openapi/paging.js'
import type { ApiKey } from '../api-key.entity.js'
import {
  AccessKeyField,
  ExpiryField,
  LastUseField,
  NewExpiryField,
  NewScopesField,
  ScopesField,
  SecretKeyField,
} from '../api-keys.fields.js'
import type { ApiKeyPage, IssuedApiKey } from '../api-keys.service.js'

/** An API key to be made. */
export class FacilFlowNewApiKey {
  @StringField({ description: 'What to call it.', example: 'Historian export', maxLength: 200 })
  name: string

  @NewScopesField()
  scopes: Scope[] = ['standard']

  @NewExpiryField()
  expiresAt?: string
}

/** Which API keys to list. */
export class FacilFlowApiKeysQuery extends pagedBy({ default: 100, max: 1000 }) {}

/** One API key, without its secret. */
export class FacilFlowApiKey {
  @IdField({ description: 'The id.', example: 'key-123' })
  id: string

  @StringField({ description: 'What it is called.', example: 'Historian export', maxLength: 200 })
  name: string

  @ScopesField()
  scopes: Scope[]

  @DateField({ description: 'When it was made.', example: '2024-01-15T12:00:00Z' })
  createdAt: string

  @ExpiryField()
  expiresAt: string | null

  @LastUseField()
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

  @AccessKeyField()
  accessKey?: string

  @SecretKeyField()
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
