import { DateField, IdField, StringField } from '../../../platform/openapi/fields.js'
import type { IssuedToken } from '../access-tokens.js'

/** Who logs in. */
export class FlowRunnerLogin {
  @StringField({ description: "The account's e-mail.", example: 'user@example.com', maxLength: 254 })
  username: string

  @StringField({ description: 'The password.', example: 'your-password', format: 'password', writeOnly: true })
  password: string
}

/** A token, and whose it is. */
export class FlowRunnerSession {
  @StringField({
    description: 'To be sent as `Authorization: Bearer …`.',
    example: 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...',
    maxLength: 4096,
  })
  token: string

  @DateField({ description: 'When the token ends by itself.', example: '2023-01-01T12:00:00Z' })
  expires_at: string

  @IdField({ description: "The account's id.", example: 'account-123' })
  account_id: string
}

/** That the token is dead. */
export class FlowRunnerLogoutMessage {
  @StringField({ description: 'What was done.', example: 'Logged out successfully' })
  message: string
}

export function toSession({ token, expiresAt, accountId }: IssuedToken): FlowRunnerSession {
  return { token, expires_at: expiresAt.toISOString(), account_id: accountId }
}
