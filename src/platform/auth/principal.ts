/** What an account may do, from most to least. */
export const ROLES = ['admin', 'editor', 'user', 'viewer'] as const

export type Role = (typeof ROLES)[number]

/** Roles that may change things. A viewer only looks, but for its own account. */
export const WRITERS: readonly Role[] = ['admin', 'editor', 'user']

/** Where accounts are that no other tenant was named for; the migrations make it. */
export const DEFAULT_TENANT = 'default'

/** Who is calling, as read from the database for this very request, and by which credential. */
export interface Principal {
  accountId: string
  tenantId: string
  role: Role
  email: string
  name: string
  credential: Credential
}

export interface Credential {
  kind: 'password-token' | 'basic' | 'session' | 'api-key' | 'id-token' | 'presigned-url'
  /** The id of the row by which it counts: of an access token, a session, an API key. */
  tokenId?: string
  expiresAt?: Date
  /** What it is for, where that is less than all that the account may do: ask `allows`. */
  scopes?: readonly string[]
  /** Of a session whose end this use has moved: its cookie is to be sent again. */
  renewed?: boolean
}
