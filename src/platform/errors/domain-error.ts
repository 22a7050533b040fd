import type { JsonObject } from '../json.js'

/** What went wrong, independent of any transport. One table in `platform/http` maps each kind to a status. */
export type ErrorKind =
  | 'invalid' // the request cannot be understood: 400
  | 'unauthenticated' // 401
  | 'forbidden' // seen, but not allowed: 403
  | 'not_found' // absent, or not the caller's to see: 404
  | 'method_not_allowed' // 405
  | 'conflict' // 409
  | 'gone' // 410
  | 'precondition_failed' // If-Match: 412
  | 'too_large' // 413
  | 'unsupported_media_type' // 415
  | 'range_not_satisfiable' // 416
  | 'unprocessable' // understood, but its content is at fault: 422
  | 'key_reused' // an Idempotency-Key that was used before, with another request: 422
  | 'rate_limited' // 429
  | 'internal' // 500
  | 'not_supported' // not offered here: 501
  | 'bad_gateway' // what was started for the caller has failed: 502
  | 'unavailable' // for now: 503
  | 'insufficient_storage' // there is no room for it: 507

/** One fault of a request, pointed at by a JSON pointer into the body (RFC 6901, as a URI fragment). */
export interface Fault {
  /** Such as `#/name`. */
  pointer: string
  /** The parameter of the query or path at fault, where it is none of the body's members; `pointer` is then `#` and not told. */
  parameter?: string
  detail: string
  /** A stable word for programs, such as `required`. */
  code: string
  /** JSON pointer into a document that the member carries as text (a flow definition). */
  path?: string
  /** 1-based position in that document. */
  line?: number
  column?: number
}

export interface DomainErrorOptions {
  faults?: Fault[]
  /** Seconds after which a retry makes sense; sent as `Retry-After`. */
  retryAfter?: number
  /** The resource's noun, such as `flow`: surfaces with codes per resource spell `FLOW_NOT_FOUND` from it. */
  resource?: string
  /** Members of its problem document that only this type has (RFC 9457, section 3.2). */
  members?: JsonObject
  cause?: unknown
}

/**
 * An error that a caller may read. `slug` names its type for good (`flow-not-found`): the page `/problems/{slug}` explains it;
 * `title` is constant per slug; `message` is about this occurrence and holds no secret and no internals.
 */
export class DomainError extends Error {
  readonly faults: readonly Fault[]
  readonly retryAfter?: number
  readonly resource?: string
  readonly members?: JsonObject

  constructor(
    readonly kind: ErrorKind,
    readonly slug: string,
    readonly title: string,
    message: string,
    options: DomainErrorOptions = {},
  ) {
    super(message, { cause: options.cause })
    this.name = new.target.name
    this.faults = options.faults ?? []
    this.retryAfter = options.retryAfter
    this.resource = options.resource
    this.members = options.members
  }
}
