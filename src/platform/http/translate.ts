import { HttpException } from '@nestjs/common'
import { DomainError } from '../errors/domain-error.js'
import { InvalidRequest } from './faults.js'
import { BodyTooLarge, InternalError, Unavailable, UnknownPath, UnsupportedMediaType } from './refusals.js'

/** Whatever was thrown, as the error that a caller may read. Only this function knows what libraries throw. */
export function asDomainError(error: unknown, path: string): DomainError {
  if (error instanceof DomainError) return error
  if (isBodyParserError(error)) return fromBodyParser(error)
  if (error instanceof HttpException) return fromNest(error, path)
  const { code } = driverErrorOf(error)
  if (code === '22021' || code === '22P05')
    return new InvalidRequest('A text holds the character U+0000 or is not UTF-8')
  if (code !== undefined && DATABASE_IS_GONE.test(code)) return new Unavailable(error)
  if (error instanceof Error && CONNECTION_WAS_LOST.test(error.message)) return new Unavailable(error)
  return new InternalError(error)
}

/** Connection exceptions (class 08), shutdown (57P), too many connections (53300), and what sockets say. */
const DATABASE_IS_GONE = /^(08\w{3}|57P0[1-4]|53300|ECONNREFUSED|ECONNRESET|EPIPE|ENOENT|ETIMEDOUT)$/
const CONNECTION_WAS_LOST =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Driver not Connected)/

interface BodyParserError {
  type: string
  limit?: number
}

function fromBodyParser(error: BodyParserError): DomainError {
  switch (error.type) {
    case 'entity.too.large':
      return new BodyTooLarge(error.limit ?? 0)
    case 'encoding.unsupported':
    case 'charset.unsupported':
      return new UnsupportedMediaType(['application/json'])
    case 'entity.parse.failed':
      return new InvalidRequest('The body is not valid JSON')
    default:
      return new InvalidRequest('The body could not be read')
  }
}

function fromNest(error: HttpException, path: string): DomainError {
  const status = error.getStatus()
  if (status === 404) return new UnknownPath(path)
  if (status === 503) return new Unavailable(error)
  if (status >= 400 && status < 500) return new InvalidRequest('The request cannot be understood')
  return new InternalError(error)
}

function isBodyParserError(error: unknown): error is BodyParserError {
  return (
    error instanceof Error && 'type' in error && /^(entity|encoding|charset|request|stream)\./.test(String(error.type))
  )
}

/** TypeORM wraps what the driver threw; pools throw it bare. */
function driverErrorOf(error: unknown): { code?: string } {
  if (typeof error !== 'object' || error === null) return {}
  const driver = 'driverError' in error ? error.driverError : error
  const code = (driver as { code?: unknown } | null)?.code
  return typeof code === 'string' ? { code } : {}
}
