import { ROLES, type Role } from '../../../platform/auth/principal.js'
import {
  ArrayField,
  DateField,
  EmailField,
  EnumField,
  IdField,
  IntField,
  StringField,
} from '../../../platform/openapi/fields.js'
import { pagedBy } from '../../../platform/openapi/paging.js'
import type { Account } from '../account.entity.js'
import type { AccountPage } from '../accounts.service.js'

const ROLE = { name: 'FacilFlowRole', description: 'What they may do.' } as const

/** Which users to list. */
export class FacilFlowUsersQuery extends pagedBy({ default: 50, max: 200 }) {
  @EnumField(ROLES, { description: 'Only users with this role.', example: 'admin', optional: true })
  role?: Role
}

/** One user. */
export class FacilFlowUser {
  @IdField({ description: 'The id.', example: 'account-123' })
  id: string

  @EmailField({ description: 'The e-mail address.', example: 'user@example.com' })
  email: string

  @StringField({ description: 'What people call them.', example: 'A User', maxLength: 200 })
  name: string

  @EnumField(ROLES, { ...ROLE, example: 'editor' })
  role: Role

  @DateField({ description: 'When they were added.', example: '2026-01-01T12:00:00.000Z' })
  createdAt: string

  @DateField({ description: 'When they were last changed.', example: '2026-01-01T12:00:00.000Z' })
  updatedAt: string
}

/** One page of users. */
export class FacilFlowUserList {
  @ArrayField({ of: () => FacilFlowUser, description: 'This page.', maxItems: 200 })
  users: FacilFlowUser[]

  @IntField({ description: 'How many there are on all pages.', example: 1 })
  total: number
}

export function toUser(account: Account): FacilFlowUser {
  return {
    id: account.id,
    email: account.email,
    name: account.name,
    role: account.role,
    createdAt: account.createdAt.toISOString(),
    updatedAt: account.updatedAt.toISOString(),
  }
}

export function toUserList({ accounts, total }: AccountPage): FacilFlowUserList {
  return { users: accounts.map(toUser), total }
}
