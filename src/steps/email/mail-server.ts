import { invalidParams } from '../invalid-params.js'
import { decodedPart, hostOf } from '../url-parts.js'
import type { MailServer } from './deliver.js'

/**
 * The server that a URL names: `smtp://user:password@host:587`, or `smtps:` for TLS from the start. `?starttls=` says whether a connection
 * that begins in the clear is encrypted.
 */
export function mailServerOf(url: URL): MailServer {
  const secure = url.protocol === 'smtps:'
  const starttls = url.searchParams.get('starttls') ?? undefined
  if (starttls !== undefined && !['required', 'offered', 'never'].includes(starttls)) {
    throw invalidParams('starttls must be one of required, offered, never')
  }
  return {
    host: hostOf(url),
    port: Number(url.port || (secure ? 465 : 587)),
    username: url.username === '' ? undefined : decodedPart(url.username),
    password: url.password === '' ? undefined : decodedPart(url.password),
    secure: secure || undefined,
    starttls,
  }
}
