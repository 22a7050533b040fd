import type { Outbound } from '../ports.js'

/** What a provider needs to read. The rest, which the libraries take from the environment or tell of this machine, stays here. */
const SENT = new Set(['accept', 'content-type', 'authorization', 'x-api-key', 'anthropic-version', 'anthropic-beta'])
const MAX_RESPONSE_BYTES = 10 * 1024 * 1024

/** The guarded `fetch` in the form that the providers' libraries take. */
export function providerFetch(outbound: Outbound, timeoutMs: number) {
  return async (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const headers = [...new Headers(init?.headers)].filter(([name]) => SENT.has(name))
    return await outbound.fetch(url instanceof Request ? url.url : url, {
      ...init,
      headers,
      timeoutMs,
      maxResponseBytes: MAX_RESPONSE_BYTES,
    })
  }
}
