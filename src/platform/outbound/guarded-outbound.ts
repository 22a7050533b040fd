import type { LookupFunction } from 'node:net'
import { isIP } from 'node:net'
import {
  Agent,
  buildConnector,
  type Dispatcher,
  Pool,
  type RequestInit as UndiciInit,
  fetch as undiciFetch,
} from 'undici'
import { AllowList } from './allow-list.js'
import { OutboundFailed, OutboundRefused, OutboundTimeout } from './errors.js'
import { failureOf } from './failure.js'
import { Guard, type ResolvedAddress, type Resolver } from './guard.js'
import { type AgentTimeouts, GuardedAgents } from './guarded-agents.js'
import { hostOf, portOf } from './host.js'
import { limited } from './limited-response.js'
import type { Outbound, OutboundInit } from './outbound.js'
import { redirected, type WireRequest, wireRequest } from './request.js'

export interface GuardedOutboundOptions {
  /** The text of `OUTBOUND_ALLOW`. */
  allow?: string
  maxResponseBytes?: number
  timeoutMs?: number
  /** The system's, unless a test brings its own. */
  resolver?: Resolver
}

const MAX_REDIRECTS = 10
const REDIRECTS = new Set([301, 302, 303, 307, 308])
/** The longest that `setTimeout` can wait. */
const MAX_TIMEOUT_MS = 2_147_483_647

/**
 * The guarded client. Every connection is made to an address that the guard vetted for that very connection; redirects are followed here,
 * one vetted exchange each; one time limit spans the whole exchange, from the name's lookup to the body's last byte.
 */
export class GuardedOutbound implements Outbound {
  readonly lookup: LookupFunction
  private readonly guard: Guard
  private readonly agent: Agent
  private readonly maxResponseBytes: number
  private readonly timeoutMs: number

  constructor(options: GuardedOutboundOptions = {}) {
    this.guard = new Guard(AllowList.parse(options.allow), options.resolver)
    this.lookup = this.guard.lookupFor()
    this.maxResponseBytes = options.maxResponseBytes ?? 10 * 1024 * 1024
    this.timeoutMs = options.timeoutMs ?? 30_000
    this.agent = new Agent({
      factory: (origin, pool) => new Pool(origin, { ...pool, connect: this.connectorTo(new URL(origin)) }),
      // The exchange's own limit rules. HTTP/1.1 only: aborting an exchange then closes its connection.
      headersTimeout: 0,
      bodyTimeout: 0,
      allowH2: false,
    })
  }

  readonly fetch = async (target: string | URL, init: OutboundInit = {}): Promise<Response> => {
    init.signal?.throwIfAborted()
    let request = await wireRequest(target, init)
    const timeoutMs = Math.min(Math.max(1, init.timeoutMs ?? this.timeoutMs), MAX_TIMEOUT_MS)
    const ending = new AbortController()
    const timer = setTimeout(() => ending.abort(new OutboundTimeout(hostOf(request.url), timeoutMs)), timeoutMs)
    const signal = init.signal ? AbortSignal.any([init.signal, ending.signal]) : ending.signal
    try {
      for (let redirects = 0; ; redirects++) {
        const response = await this.exchange(request, signal, init.beforeSend)
        const location = REDIRECTS.has(response.status) ? response.headers.get('location') : null
        if (location === null || init.redirect === 'manual') {
          return limited(response, {
            request,
            redirected: redirects > 0,
            maxBytes: init.maxResponseBytes ?? this.maxResponseBytes,
            signal,
            abort: (reason) => ending.abort(reason),
            ended: () => clearTimeout(timer),
          })
        }
        await response.body?.cancel()
        if (init.redirect === 'error') throw new OutboundFailed(hostOf(request.url), 'it redirects')
        if (redirects === MAX_REDIRECTS) {
          throw new OutboundFailed(hostOf(request.url), `more than ${MAX_REDIRECTS} redirects`)
        }
        request = redirected(request, response.status, location, init.secretHeaders)
      }
    } catch (error) {
      clearTimeout(timer)
      throw error
    }
  }

  async resolve(host: string, port: number): Promise<ResolvedAddress> {
    const [first] = await this.guard.vet(host, port)
    if (!first) throw new OutboundRefused(host, 'its name has no address')
    return first
  }

  /** For libraries that bring their own HTTP client; whoever asks closes them. */
  agents(timeouts?: Partial<AgentTimeouts>): GuardedAgents {
    return new GuardedAgents(this.guard, timeouts)
  }

  /** Cuts every connection of its own. */
  async close(): Promise<void> {
    await this.agent.destroy()
  }

  private async exchange(
    request: WireRequest,
    signal: AbortSignal,
    beforeSend: OutboundInit['beforeSend'],
  ): Promise<Response> {
    const init: UndiciInit = {
      method: request.method,
      headers: [...request.headers],
      body: request.body as UndiciInit['body'],
      duplex: request.body instanceof ReadableStream ? 'half' : undefined,
      redirect: 'manual',
      signal,
      dispatcher: beforeSend ? this.agent.compose(askingFirst(beforeSend)) : this.agent,
    }
    try {
      return (await undiciFetch(request.url, init)) as unknown as Response
    } catch (error) {
      signal.throwIfAborted()
      throw failureOf(error, hostOf(request.url))
    }
  }

  /** Sockets look names up through the guard; an address needs no lookup, so it is vetted here. */
  private connectorTo(origin: URL): buildConnector.connector {
    const port = portOf(origin)
    const connect = buildConnector({ lookup: this.guard.lookupFor(port), allowH2: false })
    return (options, callback) => {
      const host = options.hostname.replace(/^\[|\]$/g, '')
      try {
        if (isIP(host)) this.guard.vetAddress(host, port)
      } catch (error) {
        callback(error as Error, null)
        return
      }
      connect({ ...options, hostname: host }, callback)
    }
  }
}

/** A connection may be long in coming: the question is asked when it is there, and right before the first byte. */
function askingFirst(beforeSend: () => void): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) => {
    const start = handler.onRequestStart?.bind(handler)
    handler.onRequestStart = (controller, context) => {
      beforeSend()
      start?.(controller, context)
    }
    return dispatch(options, handler)
  }
}
