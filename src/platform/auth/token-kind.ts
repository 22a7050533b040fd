import type { IdPrefix } from '../ids.js'

/** What a bearer token says that it is. Which verification it then has to pass follows from that; nothing else does. */
export type TokenKind = 'access-token' | 'api-key' | 'id-token'

/** The header of every access token, as it is always written. */
const ACCESS_TOKEN = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.'

const KEY_PREFIX = `${'key' satisfies IdPrefix}_`

/**
 * API keys name themselves as the key in their header, and only identity providers sign by RSA. Whatever cannot be read counts as an
 * access token, and is refused as one.
 */
export function tokenKind(token: string): TokenKind {
  if (token.startsWith(ACCESS_TOKEN)) return 'access-token'
  const { alg, kid } = headerOf(token)
  if (alg === 'RS256') return 'id-token'
  return typeof kid === 'string' && kid.startsWith(KEY_PREFIX) ? 'api-key' : 'access-token'
}

/** The unverified header of a JWT; empty where there is none. */
export function headerOf(token: string): { alg?: unknown; kid?: unknown } {
  try {
    const header: unknown = JSON.parse(Buffer.from(token.split('.', 1)[0] ?? '', 'base64url').toString('utf8'))
    return typeof header === 'object' && header !== null ? header : {}
  } catch {
    return {}
  }
}
