import { Flow8Page, type Flow8PageQuery, pageOf } from '../../../dialects/flow8.paging.js'
import type { Scope } from '../../../platform/auth/scopes.js'
import { ArrayField, DateField, IdField, StringField } from '../../../platform/openapi/fields.js'
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
export class Flow8NewApiKey {
  @StringField({ description: 'What to call it.', example: 'CI', maxLength: 200 })
  name: string

  @NewScopesField()
  scopes: Scope[] = ['standard']

  @NewExpiryField()
  expiresAt?: string
}

/** One API key, without its token. */
export class Flow8ApiKey {
  @IdField({ description: 'The id.', example: '65abc901' })
  id: string

  @StringField({ description: 'What it is called.', example: 'CI', maxLength: 200 })
  name: string

  @ScopesField()
  scopes: Scope[]

  @DateField({ description: 'When it was made.', example: '2024-01-15T12:00:00Z' })
  issuedAt: string

  @ExpiryField()
  expiresAt: string | null

  @LastUseField()
  lastUsedAt: string | null
}

/** A new API key. The token is not shown again. */
export class Flow8IssuedApiKey extends Flow8ApiKey {
  @StringField({
    description: 'To be sent as `Authorization: Bearer …`. It is not shown again.',
    example: 'eyJ...',
    maxLength: 4096,
  })
  token: string

  @AccessKeyField()
  accessKey?: string

  @SecretKeyField()
  secretKey?: string
}

/** One page of API keys. */
export class Flow8ApiKeyList extends Flow8Page {
  @ArrayField({ of: () => Flow8ApiKey, description: 'This page.', maxItems: 100 })
  data: Flow8ApiKey[]
}

export function toApiKey(key: ApiKey): Flow8ApiKey {
  return {
    id: key.id,
    name: key.name,
    scopes: key.scopes,
    issuedAt: key.createdAt.toISOString(),
    expiresAt: key.expiresAt?.toISOString() ?? null,
    lastUsedAt: key.lastUsedAt?.toISOString() ?? null,
  }
}

export function toIssuedApiKey({ key, token, pair }: IssuedApiKey): Flow8IssuedApiKey {
  return { ...toApiKey(key), token, ...pair }
}

export function toApiKeyList({ keys, total }: ApiKeyPage, query: Flow8PageQuery): Flow8ApiKeyList {
  return pageOf(keys.map(toApiKey), total, query)
}
