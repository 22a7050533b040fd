import type { Credential, Principal, Role } from '../../platform/auth/principal.js'

/** What is read of the account `a` whenever a credential of its is shown: in the same statement as the credential's own row. */
export const KNOWN_ACCOUNT = 'a.id, a.tenant_id as "tenantId", a.role, a.email, a.name'

export interface KnownAccount {
  id: string
  tenantId: string
  role: Role
  email: string
  name: string
}

export function principalOf({ id, tenantId, role, email, name }: KnownAccount, credential: Credential): Principal {
  return { accountId: id, tenantId, role, email, name, credential }
}
