import type { LookupFunction } from 'node:net'

/**
 * The way out of the process for everything that a user can steer. Private, loopback and link-local targets are refused unless the
 * configuration allows them; checked after DNS and again on every redirect.
 */
export interface Outbound {
  /** `fetch` behind the guard. The response's body ends with an error once it exceeds the size limit. May be passed on unbound. */
  fetch(url: string | URL, init?: OutboundInit): Promise<Response>
  /**
   * For clients that open their own sockets by name (`net.connect({lookup})`): answers only addresses that may be reached. It is not
   * told the port, so permissions of one port do not count here; and Node never asks it about an address, so a client that may be
   * given one needs `resolve`.
   */
  readonly lookup: LookupFunction
  /** Resolves and vets a host for clients that connect by address. Throws `OutboundRefused`. */
  resolve(host: string, port: number): Promise<{ address: string; family: 4 | 6 }>
}

export interface OutboundInit extends RequestInit {
  /** Whole exchange, body included. Default 30 s. */
  timeoutMs?: number
  /** Counted after decompression. */
  maxResponseBytes?: number
  /** Called in the moment before a request is written to its connection, for each redirect anew. What it throws keeps the request back. */
  beforeSend?: () => void
  /** Headers that carry a credential under an unusual name: they are not sent on when a redirect leaves the origin. */
  secretHeaders?: readonly string[]
}
