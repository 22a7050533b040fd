import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

/** A new token, which nobody can guess: 32 random bytes. */
export function newToken(): string {
  return `chan_${randomBytes(32).toString('base64url')}`
}

/** Under which a token is kept. The same token of two channels is kept differently. */
export function tokenHashOf(channelId: string, token: string): Buffer {
  return createHash('sha256').update(`${channelId}:${token}`).digest()
}

/** Takes as long for a near miss as for any other. */
export function opens(channel: { id: string; tokenHash: Buffer | null }, token: string): boolean {
  return channel.tokenHash !== null && timingSafeEqual(tokenHashOf(channel.id, token), channel.tokenHash)
}

/** The token that a request carries: `X-Channel-Token`, which leaves `Authorization` to others, or `Authorization: Bearer`. */
export function tokenIn(headers: IncomingHttpHeaders): string | undefined {
  const own = headers['x-channel-token']
  return own === undefined ? /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1] : String(own)
}
