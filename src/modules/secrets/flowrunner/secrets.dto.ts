import { ArrayField, DateField, StringField } from '../../../platform/openapi/fields.js'
import type { ShownSecret } from '../secrets.service.js'

/** A secret to be kept. */
export class FlowRunnerNewSecret {
  @StringField({
    description: 'What flows call it, as in `${secrets.NEW_API_KEY}`.',
    example: 'NEW_API_KEY',
    maxLength: 128,
    pattern: /^[A-Za-z_][A-Za-z0-9_]*$/,
    patternMeaning: 'must begin with a letter or an underscore and hold only letters, digits and underscores',
  })
  key: string

  @StringField({
    description: 'The value. It is never shown again; in results and logs of executions it is masked.',
    example: 'your-api-key',
    minLength: 4,
    maxLength: 65_536,
    writeOnly: true,
  })
  value: string
}

/** A secret without its value. */
export class FlowRunnerSecret {
  @StringField({ description: 'What flows call it.', example: 'NEW_API_KEY', maxLength: 128 })
  key: string

  @DateField({ description: 'When it was made.', example: '2023-01-01T12:00:00Z' })
  created_at: string

  @DateField({ description: 'When it last got a value.', example: '2023-01-01T12:00:00Z' })
  updated_at: string
}

/** The account's secrets. */
export class FlowRunnerSecretList {
  @ArrayField({
    of: () => FlowRunnerSecret,
    description: 'All of them, sorted by key.',
    maxItems: 10_000,
  })
  secrets: FlowRunnerSecret[]
}

/** That the secret is gone. */
export class FlowRunnerSecretMessage {
  @StringField({ description: 'What was done.', example: 'Secret deleted successfully' })
  message: string
}

export function toSecret(secret: ShownSecret): FlowRunnerSecret {
  return {
    key: secret.key,
    created_at: secret.createdAt.toISOString(),
    updated_at: secret.updatedAt.toISOString(),
  }
}
