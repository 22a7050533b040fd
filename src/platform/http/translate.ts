import { HttpException } from '@nestjs/common'
import { DomainError } from '../errors/domain-error.js'
import { InvalidRequest } from './faults.js'
import { InternalError, Unavailable, UnknownPath } from './refusals.js'

/** Whatever was thrown, as the error that a caller may read. Only this function knows what libraries throw. */
export function asDomainError(error: unknown, path: string): DomainError {
  if (error instanceof DomainError) return error
  if (error instanceof HttpException) return fromNest(error, path)
  const { code } = driverErrorOf(error)
  if (code === '22021' || code === '22P05')
    return new InvalidRequest('A text holds the character U+0000 or is not UTF-8')
  if (code !== undefined && DATABASE_IS_GONE.test(code)) return new Unavailable(error)
  if (error instanceof Error && CONNECTION_WAS_LOST.test(error.message)) return new Unavailable(error)
  return new InternalError(error)
}

/** Connections that fail (class 08), are refused (28, 3D000, 53300) or ended (57P), read-only servers (25006), and what sockets say. */
const DATABASE_IS_GONE =
  /^(08\w{3}|28000|28P01|3D000|25006|57P0[1-5]|53300|ECONNREFUSED|ECONNRESET|EPIPE|ENOENT|ETIMEDOUT)$/
const CONNECTION_WAS_LOST =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Driver not Connected)/

function fromNest(error: HttpException, path: string): DomainError {
  const status = error.getStatus()
  if (status === 404) return new UnknownPath(path)
  if (status === 503) return new Unavailable(error)
  if (status >= 400 && status < 500) return new InvalidRequest('The request cannot be understood')
  return new InternalError(error)
}

/** TypeORM wraps what the driver threw; pools throw it bare. */
function driverErrorOf(error: unknown): { code?: string } {
  if (typeof error !== 'object' || error === null) return {}
  const driver = 'driverError' in error ? error.driverError : error
  const code = (driver as { code?: unknown } | null)?.code
  return typeof code === 'string' ? { code } : {}
}
