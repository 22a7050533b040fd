import { ROLES, type Role } from '../../../platform/auth/principal.js'
import { EmailField, EnumField, IdField, StringField } from '../../../platform/openapi/fields.js'

/** Who logs in. */
export class Flow8Login {
  @StringField({ description: "The account's e-mail.", example: 'user@example.com', maxLength: 254 })
  email: string

  @StringField({ description: 'The password.', example: 'password', format: 'password', writeOnly: true })
  password: string
}

/** Whose session it is. */
export class Flow8User {
  @IdField({ description: 'The id.', example: '65abc001' })
  id: string

  @EmailField({ description: 'The e-mail to log in with.', example: 'user@example.com' })
  email: string

  @StringField({ description: 'What people call the user.', example: 'Ada Lovelace', maxLength: 200 })
  name: string
}

/** Who is asking. */
export class Flow8CurrentUser extends Flow8User {
  @EnumField(ROLES, { name: 'Flow8Role', description: 'What the user may do.', example: 'user' })
  role: Role

  @IdField({ description: 'The company that the user belongs to: all that the user sees is its.', example: 'default' })
  companyId: string
}

/** That the session is over. */
export class Flow8LogoutMessage {
  @StringField({ description: 'What was done.', example: 'Logged out' })
  message: string
}

export function toUser({ id, email, name }: Flow8User): Flow8User {
  return { id, email, name }
}

export function toCurrentUser(caller: {
  accountId: string
  email: string
  name: string
  role: Role
  tenantId: string
}): Flow8CurrentUser {
  return {
    id: caller.accountId,
    email: caller.email,
    name: caller.name,
    role: caller.role,
    companyId: caller.tenantId,
  }
}
