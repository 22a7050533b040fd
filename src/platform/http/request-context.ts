import { AsyncLocalStorage } from 'node:async_hooks'
import type { SpanContext } from '@opentelemetry/api'
import type { Credential } from '../auth/principal.js'
import type { SurfaceName } from '../openapi/surface.js'

/** What is known of the request being served, wherever its work has led. */
export interface RequestContext {
  readonly requestId: string
  /** The peer's address. */
  readonly ip: string
  /** The path without its query. */
  readonly path: string
  /** Scheme and host by which the caller reached this server. */
  readonly origin?: string
  /** The API whose controller answers; undefined for paths that belong to none. */
  readonly surface?: SurfaceName
  /** What the call would change, as the audit trail says it; undefined for one that only reads. */
  readonly action?: string
  /** The request's span, where tracing is on. */
  readonly trace?: SpanContext
  /** Who asks, once the guard knows. */
  principal?: {
    readonly accountId: string
    readonly tenantId: string
    readonly email?: string
    readonly credential?: Credential
  }
}

const storage = new AsyncLocalStorage<RequestContext>()

export function runInContext<T>(context: RequestContext, work: () => T): T {
  return storage.run(context, work)
}

/** The request being served, or undefined outside of one (schedules, workers). */
export function requestContext(): RequestContext | undefined {
  return storage.getStore()
}
