import type { Opening } from '../realtime/socket-server.js'
import type { CredentialScheme } from './accepted-credentials.js'
import { Unauthenticated } from './auth.errors.js'
import type { Authenticator } from './authenticator.js'
import { bearerIn } from './bearer.js'
import { requireOwnOrigin } from './own-origin.js'
import type { Principal } from './principal.js'
import { sessionIn } from './session-cookie.js'

/**
 * Who opens a WebSocket: by a token in `Authorization: Bearer` or, since browsers cannot set headers there, in `?token=`; or, where the
 * channel accepts sessions, by the cookie, which counts for this server's own pages only. The first of these that is there has to be
 * right. To be asked again now and then: an open connection outlives a revocation otherwise.
 */
export async function callerOf(
  { headers, host, query }: Pick<Opening, 'headers' | 'host' | 'query'>,
  accepted: readonly Extract<CredentialScheme, 'bearer' | 'session'>[],
  authenticator: Authenticator,
): Promise<Principal> {
  const token = bearerIn(headers.authorization) ?? query.get('token')
  if (token !== null && accepted.includes('bearer')) return await authenticator.authenticate(token)
  const session = token === null && accepted.includes('session') ? sessionIn(headers.cookie) : undefined
  if (session === undefined) throw new Unauthenticated()
  requireOwnOrigin(headers, host)
  return await authenticator.withSession(session)
}
