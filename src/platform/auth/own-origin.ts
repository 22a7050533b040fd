import type { IncomingHttpHeaders } from 'node:http'
import { CrossOrigin } from './auth.errors.js'

/** What forms of any site can send without asking the server first. */
const FORMS = new Set(['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain'])

/**
 * What a session's cookie needs besides itself before it may change anything or open a WebSocket, since a browser sends it without
 * being asked. `Sec-Fetch-Site` says where the request comes from, and no page can write it; older browsers send `Origin`, which has
 * to be this host. A request with neither is no browser's, and must not look like a form's. Throws `CrossOrigin`.
 */
export function requireOwnOrigin(headers: IncomingHttpHeaders, host: string | undefined): void {
  if (!isOwn(headers, host)) throw new CrossOrigin()
}

function isOwn(headers: IncomingHttpHeaders, host: string | undefined): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  if (headers.origin !== undefined) return host !== undefined && hostIn(headers.origin) === host.toLowerCase()
  const [type = ''] = (headers['content-type'] ?? '').split(';')
  return !FORMS.has(type.trim().toLowerCase())
}

/** Undefined for `null`, which sandboxed pages send. */
function hostIn(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}
