import type { CredentialScheme } from '../auth/accepted-credentials.js'
import type { DomainError, ErrorKind, Fault } from '../errors/domain-error.js'
import type { JsonObject, JsonSchema } from '../json.js'
import type { SurfaceName } from '../openapi/surface.js'

/** Where and when an error came up. */
export interface Occurrence {
  status: number
  /** The path without its query. */
  instance: string
  requestId: string
}

/** How one documented API spells errors, and which credentials it takes. Knows no domain. */
export interface Dialect {
  readonly surface: SurfaceName
  /** Any one of these will do. */
  readonly accepts: readonly CredentialScheme[]
  status(kind: ErrorKind): number
  /** One document that is a valid RFC 9457 problem and carries the API's own members. */
  problem(error: DomainError, occurrence: Occurrence): JsonObject
  /** Members that its problems have beyond the RFC's: JSON Schemas by name. All are required. */
  readonly extensions: Record<string, JsonSchema>
}

/** The members of RFC 9457, `requestId`, and the faults where there are any. */
export function plainProblem(error: DomainError, occurrence: Occurrence): JsonObject {
  return {
    type: `/problems/${error.slug}`,
    title: error.title,
    status: occurrence.status,
    detail: error.message,
    instance: occurrence.instance,
    requestId: occurrence.requestId,
    ...(error.faults.length > 0 && { errors: error.faults.map(spelled) }),
    ...error.members,
  }
}

/** The first fault in `field` and `reason`, for documents that have room for one only. */
export function firstFault(error: DomainError): { field: string; reason: string } | undefined {
  const [fault] = error.faults
  if (!fault) return undefined
  const field = fault.parameter ?? fault.pointer.replace(/^#\/?/, '').split('/').map(unescaped).join('.')
  return { field, reason: fault.detail }
}

function spelled(fault: Fault): JsonObject {
  const { pointer, parameter, detail, code, path, line, column } = fault
  return {
    ...(parameter === undefined ? { pointer } : { parameter }),
    detail,
    code,
    ...(path !== undefined && { path }),
    ...(line !== undefined && { line }),
    ...(column !== undefined && { column }),
  }
}

function unescaped(token: string): string {
  return token.replaceAll('~1', '/').replaceAll('~0', '~')
}
