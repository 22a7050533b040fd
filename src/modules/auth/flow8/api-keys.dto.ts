import { Flow8Page, type Flow8PageQuery, pageOf } from '../../../dialects/flow8.paging.js'
import { SCOPES, type Scope } from '../../../platform/auth/scopes.js'
import { ArrayField, DateField, IdField, StringField } from '../../../platform/openapi/fields.js'
import type { ApiKey } from '../api-key.entity.js'
import type { ApiKeyPage, IssuedApiKey } from '../api-keys.service.js'

/** An API key to be made. */
export class Flow8NewApiKey {
  @StringField({ description: 'What to call it.', example: 'CI', maxLength: 200 })
  name: string

  @ArrayField({
    of: 'string',
    itemEnum: SCOPES,
    description:
      'What it is for: `standard` opens all that the account may do, `mcp` the channels of the kind `mcp`, `s3` the S3 protocol at `/s3`. A key without `standard` opens nothing else.',
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

/** One API key, without its token. */
export class Flow8ApiKey {
  @IdField({ description: 'The id.', example: '65abc901' })
  id: string

  @StringField({ description: 'What it is called.', example: 'CI', maxLength: 200 })
  name: string

  @ArrayField({ of: 'string', itemEnum: SCOPES, description: 'What it is for.', example: ['standard'], maxItems: 10 })
  scopes: Scope[]

  @DateField({ description: 'When it was made.', example: '2024-01-15T12:00:00Z' })
  issuedAt: string

  @DateField({ description: 'When it ends by itself; null: never.', example: '2099-12-31T23:59:59Z', nullable: true })
  expiresAt: string | null

  @DateField({
    description: 'When it was last used, give or take a minute; null: never.',
    example: '2024-01-16T08:30:00Z',
    nullable: true,
  })
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
