import { SCOPES } from '../../platform/auth/scopes.js'
import { ArrayField, DateField, StringField } from '../../platform/openapi/fields.js'

/** What API keys have on each surface that shows them, in the same words. */

export function NewScopesField(): PropertyDecorator {
  return ArrayField({
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
}

export function ScopesField(): PropertyDecorator {
  return ArrayField({
    of: 'string',
    itemEnum: SCOPES,
    description: 'What it is for.',
    example: ['standard'],
    maxItems: 10,
  })
}

export function NewExpiryField(): PropertyDecorator {
  return DateField({
    description: 'When it ends by itself. Without this it counts until it is revoked.',
    example: '2099-12-31T23:59:59Z',
    optional: true,
  })
}

export function ExpiryField(): PropertyDecorator {
  return DateField({
    description: 'When it ends by itself; null: never.',
    example: '2099-12-31T23:59:59Z',
    nullable: true,
  })
}

export function LastUseField(): PropertyDecorator {
  return DateField({
    description: 'When it was last used, give or take a minute; null: never.',
    example: '2024-01-16T08:30:00Z',
    nullable: true,
  })
}

export function AccessKeyField(): PropertyDecorator {
  return StringField({
    description: 'Of a key with the scope `s3`: what S3 clients call the access key.',
    example: 'MRJX5L2QH7WD3TPAKB4C',
    maxLength: 200,
    optional: true,
  })
}

export function SecretKeyField(): PropertyDecorator {
  return StringField({
    description: 'Of a key with the scope `s3`: what S3 clients call the secret key. It is not shown again.',
    example: '3hQ9vR1tYc0_ZkP7mWn5bXeD8uJf2LsAoGi6TqNy',
    maxLength: 200,
    optional: true,
  })
}
