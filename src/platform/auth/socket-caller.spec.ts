import type { IncomingHttpHeaders } from 'node:http'
import { describe, expect, it } from 'vitest'
import { CrossOrigin, Unauthenticated } from './auth.errors.js'
import type { Authenticator } from './authenticator.js'
import { callerOf } from './socket-caller.js'

const SESSION = 's'.repeat(43)
const COOKIE = `sid=${SESSION}`
const ORIGIN = 'https://flows.example.com'

const authenticator = {
  authenticate: async (token: string) => ({ accountId: `token ${token}` }),
  withSession: async (session: string) => ({ accountId: `session ${session}` }),
} as unknown as Authenticator

async function ask(
  headers: IncomingHttpHeaders,
  query = '',
  accepted: ('bearer' | 'session')[] = ['bearer', 'session'],
): Promise<unknown> {
  const opening = { headers, host: 'flows.example.com', query: new URLSearchParams(query) }
  return await callerOf(opening, accepted, authenticator).then(
    ({ accountId }) => accountId,
    (error: Error) => error.constructor,
  )
}

describe('who opens a WebSocket is known', () => {
  it('by a token in the header, then by one in the query, then by the cookie', async () => {
    const authorization = 'Bearer a'
    expect(await ask({ authorization, cookie: COOKIE, origin: ORIGIN }, 'token=b')).toBe('token a')
    expect(await ask({ cookie: COOKIE, origin: ORIGIN }, 'token=b')).toBe('token b')
    expect(await ask({ cookie: COOKIE, origin: ORIGIN })).toBe(`session ${SESSION}`)
  })

  it('by the cookie only on pages of this server, and in programs', async () => {
    expect(await ask({ cookie: COOKIE })).toBe(`session ${SESSION}`)
    for (const origin of ['https://evil.example', 'https://example.com', 'null']) {
      expect(await ask({ cookie: COOKIE, origin })).toBe(CrossOrigin)
    }
    expect(await ask({ cookie: COOKIE, 'sec-fetch-site': 'same-site' })).toBe(CrossOrigin)
    expect(await ask({ origin: 'https://evil.example' }, 'token=b')).toBe('token b')
  })

  it('by what the channel accepts', async () => {
    expect(await ask({ cookie: COOKIE, origin: ORIGIN }, '', ['bearer'])).toBe(Unauthenticated)
    expect(await ask({ authorization: 'Bearer a', cookie: COOKIE }, '', ['session'])).toBe(Unauthenticated)
  })

  it('by nothing else', async () => {
    for (const headers of [{}, { cookie: 'sid=short' }, { authorization: 'Basic YTpi' }])
      expect(await ask(headers)).toBe(Unauthenticated)
  })
})
