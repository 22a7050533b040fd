import { Forbidden } from './auth.errors.js'
import type { Credential } from './principal.js'

/** What an API key can be for: everything that its account may do, the MCP channels, the S3 protocol. */
export const SCOPES = ['standard', 'mcp', 's3'] as const

export type Scope = (typeof SCOPES)[number]

/** Whether a credential opens what is behind a scope. Those without scopes (a login, an ID token) stand for the whole account. */
export function allows({ scopes }: Credential, scope: Scope): boolean {
  return scopes === undefined || scopes.includes(scope)
}

export function requireScope(credential: Credential, scope: Scope): void {
  if (!allows(credential, scope)) throw new Forbidden(`This needs a key with the scope ${scope}`)
}
