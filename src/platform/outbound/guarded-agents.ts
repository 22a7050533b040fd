import { type ClientRequestArgs, Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { OutboundTimeout } from './errors.js'
import type { Guard } from './guard.js'

export interface AgentTimeouts {
  /** From the lookup of the name to the end of the TLS handshake. */
  connectMs: number
  /** How long a connection may carry nothing in either direction. */
  idleMs: number
}

type Connected = (error: Error | null, socket: Duplex) => void
/** What an agent hands to `net.connect` or `tls.connect`; the types of Node leave some of it out. */
type SocketOptions = ClientRequestArgs & { secureEndpoint?: boolean }

const DEFAULTS: AgentTimeouts = { connectMs: 10_000, idleMs: 120_000 }

/**
 * The agents of Node's own HTTP client behind the guard, for libraries that speak for themselves: every connection of theirs, the
 * one after a redirect included, goes to an address that was vetted for it. They know nothing of proxies in the environment.
 */
export class GuardedAgents {
  readonly http: HttpAgent
  readonly https: HttpsAgent

  constructor(guard: Guard, timeouts: Partial<AgentTimeouts> = {}) {
    const limits = { ...DEFAULTS, ...timeouts }
    this.http = guarded(new HttpAgent({ keepAlive: true, timeout: limits.idleMs }), 'connect', guard, limits)
    this.https = guarded(new HttpsAgent({ keepAlive: true, timeout: limits.idleMs }), 'secureConnect', guard, limits)
  }

  /** The one for a URL, as libraries ask that choose for each request. May be passed on unbound. */
  readonly of = ({ protocol }: { protocol: string }): HttpAgent | HttpsAgent =>
    protocol === 'https:' ? this.https : this.http

  /** Lets go of connections: at once of those that nobody uses, and of the others when they are done with. */
  close(): void {
    for (const agent of [this.http, this.https]) {
      agent.maxFreeSockets = 0
      for (const socket of Object.values(agent.freeSockets).flat()) socket?.destroy()
    }
  }
}

function guarded<A extends HttpAgent>(agent: A, ready: string, guard: Guard, limits: AgentTimeouts): A {
  const connect = agent.createConnection.bind(agent) as (options: SocketOptions) => Duplex | null | undefined
  agent.createConnection = (options: SocketOptions, done?: Connected): Duplex | undefined => {
    const host = String(options.host ?? 'localhost')
    const port = Number(options.port)
    try {
      // Node looks up no address, so the guard would never be asked.
      if (isIP(host)) guard.vetAddress(host, port)
    } catch (error) {
      done?.(error as Error, undefined as unknown as Duplex)
      return undefined
    }
    const socket = connect({ ...options, lookup: guard.lookupFor(port) }) as Socket
    const slow = setTimeout(() => socket.destroy(timeout(host, limits.connectMs)), limits.connectMs)
    for (const event of [ready, 'close']) socket.once(event, () => clearTimeout(slow))
    socket.on('timeout', () => socket.destroy(timeout(host, limits.idleMs)))
    return socket
  }
  return agent
}

/** With the code that libraries know a timeout by, so that they try again where that is theirs to decide. */
function timeout(host: string, ms: number): Error {
  return Object.assign(new OutboundTimeout(host, ms), { code: 'ETIMEDOUT' })
}
