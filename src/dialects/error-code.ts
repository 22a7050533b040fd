import type { DomainError, ErrorKind } from '../platform/errors/domain-error.js'
import { type Dialect, plainProblem } from '../platform/http/problem.js'
import { statusOfKind } from '../platform/http/statuses.js'
import type { SurfaceName } from '../platform/openapi/surface.js'

const codes: Record<ErrorKind, string> = {
  invalid: 'VALIDATION_ERROR',
  unauthenticated: 'UNAUTHORIZED',
  forbidden: 'FORBIDDEN',
  not_found: 'NOT_FOUND',
  method_not_allowed: 'METHOD_NOT_ALLOWED',
  conflict: 'CONFLICT',
  gone: 'GONE',
  precondition_failed: 'PRECONDITION_FAILED',
  too_large: 'TOO_LARGE',
  unsupported_media_type: 'UNSUPPORTED_MEDIA_TYPE',
  range_not_satisfiable: 'RANGE_NOT_SATISFIABLE',
  unprocessable: 'VALIDATION_ERROR',
  key_reused: 'VALIDATION_ERROR',
  rate_limited: 'RATE_LIMITED',
  internal: 'INTERNAL_ERROR',
  not_supported: 'NOT_SUPPORTED',
  bad_gateway: 'BAD_GATEWAY',
  unavailable: 'UNAVAILABLE',
  insufficient_storage: 'INSUFFICIENT_STORAGE',
}

/**
 * The spelling that flow8 and FacilFlow share: the problem carries `error`, `message` and `statusCode`. `nouns` is what the API calls
 * things that go by another name in the core.
 */
export function errorCodeDialect(surface: SurfaceName, nouns: Readonly<Record<string, string>> = {}): Dialect {
  return {
    surface,
    accepts: ['bearer', 'session'],
    status: (kind) => statusOfKind[kind],
    problem: (error, occurrence) => ({
      ...plainProblem(error, occurrence),
      error: codeOf(error, nouns),
      message: error.message,
      statusCode: occurrence.status,
    }),
    extensions: {
      error: {
        type: 'string',
        pattern: '^[A-Z][A-Z0-9_]*$',
        maxLength: 100,
        description: 'The kind of error, such as `FLOW_NOT_FOUND`.',
      },
      message: { type: 'string', maxLength: 10_000, description: 'The same as `detail`.' },
      statusCode: {
        type: 'integer',
        format: 'int32',
        minimum: 400,
        maximum: 599,
        description: 'The same as `status`.',
      },
    },
  }
}

/** What is missing is said with its noun: `FLOW_NOT_FOUND`. */
function codeOf({ kind, resource }: DomainError, nouns: Readonly<Record<string, string>>): string {
  if (kind !== 'not_found' || !resource) return codes[kind]
  const noun = Object.hasOwn(nouns, resource) ? (nouns[resource] as string) : resource
  return `${noun.replace(/[^A-Za-z0-9]+/g, '_').toUpperCase()}_NOT_FOUND`
}
