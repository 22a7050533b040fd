import type { ErrorKind } from '../errors/domain-error.js'

/** The HTTP status of each kind of error. A dialect may differ where its reference does. */
export const statusOfKind: Record<ErrorKind, number> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  gone: 410,
  precondition_failed: 412,
  too_large: 413,
  unsupported_media_type: 415,
  range_not_satisfiable: 416,
  unprocessable: 422,
  key_reused: 422,
  rate_limited: 429,
  internal: 500,
  not_supported: 501,
  bad_gateway: 502,
  unavailable: 503,
  insufficient_storage: 507,
}
