import { FlowRunnerPage } from '../../../dialects/flowrunner.paging.js'
import { ROLES, type Role } from '../../../platform/auth/principal.js'
import { ArrayField, DateField, EmailField, EnumField, IdField, StringField } from '../../../platform/openapi/fields.js'
import { pagedBy } from '../../../platform/openapi/paging.js'
import type { Account } from '../account.entity.js'
import type { AccountPage } from '../accounts.service.js'

const ROLE = {
  name: 'FlowRunnerRole',
  description: 'What it may do: admins manage all accounts, the others only their own.',
} as const

/** An account to be made. */
export class FlowRunnerNewAccount {
  @StringField({ description: 'What people call it.', example: 'New Account', maxLength: 200 })
  name: string

  @EmailField({ description: 'The user name to log in with.', example: 'new@example.com' })
  email: string

  @StringField({
    description: 'The password.',
    example: 'your-password',
    minLength: 8,
    maxLength: 200,
    format: 'password',
    writeOnly: true,
  })
  password: string

  @EnumField(ROLES, { ...ROLE, example: 'user' })
  role: Role
}

/** What to change of an account; what is left out stays. */
export class FlowRunnerAccountChange {
  @StringField({
    description: 'What people call it.',
    example: 'Updated Account',
    minLength: 1,
    maxLength: 200,
    optional: true,
  })
  name?: string

  @EmailField({ description: 'The user name to log in with.', example: 'updated@example.com', optional: true })
  email?: string

  @EnumField(ROLES, { ...ROLE, example: 'admin', optional: true })
  role?: Role

  @StringField({
    description: 'A new password. It ends every session of the account.',
    minLength: 8,
    maxLength: 200,
    format: 'password',
    writeOnly: true,
    optional: true,
  })
  password?: string
}

/** Which accounts to list. */
export class FlowRunnerAccountsQuery extends pagedBy({ default: 10, max: 100 }) {
  @EnumField(ROLES, { description: 'Only accounts with this role.', example: 'admin', optional: true })
  role?: Role
}

/** One account. */
export class FlowRunnerAccount {
  @IdField({ description: 'The id.', example: 'account-123' })
  id: string

  @StringField({ description: 'What people call it.', example: 'My Account', maxLength: 200 })
  name: string

  @EmailField({ description: 'The user name to log in with.', example: 'user@example.com' })
  email: string

  @EnumField(ROLES, { ...ROLE, example: 'admin' })
  role: Role

  @DateField({ description: 'When it was made.', example: '2023-01-01T12:00:00Z' })
  created_at: string

  @DateField({ description: 'When it was last changed.', example: '2023-01-01T12:00:00Z' })
  updated_at: string
}

/** One page of accounts. */
export class FlowRunnerAccountList extends FlowRunnerPage {
  @ArrayField({ of: () => FlowRunnerAccount, description: 'This page.', maxItems: 100 })
  accounts: FlowRunnerAccount[]
}

/** That the account is gone. */
export class FlowRunnerAccountMessage {
  @StringField({ description: 'What was done.', example: 'Account deleted successfully' })
  message: string
}

export function toAccount(account: Account): FlowRunnerAccount {
  return {
    id: account.id,
    name: account.name,
    email: account.email,
    role: account.role,
    created_at: account.createdAt.toISOString(),
    updated_at: account.updatedAt.toISOString(),
  }
}

export function toAccountList(page: AccountPage, { limit, offset }: FlowRunnerAccountsQuery): FlowRunnerAccountList {
  return { accounts: page.accounts.map(toAccount), total: page.total, limit, offset }
}
