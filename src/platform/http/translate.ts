import { HttpException } from '@nestjs/common'
import { driverCodeOf, isDatabaseGone } from '../database/database-is-gone.js'
import { DomainError } from '../errors/domain-error.js'
import { InvalidRequest } from './faults.js'
import { InternalError, Unavailable, UnknownPath } from './refusals.js'

/** Whatever was thrown, as the error that a caller may read. Only this function knows what libraries throw. */
export function asDomainError(error: unknown, path: string): DomainError {
  if (error instanceof DomainError) return error
  if (error instanceof HttpException) return fromNest(error, path)
  const code = driverCodeOf(error)
  if (code === '22021' || code === '22P05')
    return new InvalidRequest('A text holds the character U+0000 or is not UTF-8')
  return isDatabaseGone(error) ? new Unavailable(error) : new InternalError(error)
}

function fromNest(error: HttpException, path: string): DomainError {
  const status = error.getStatus()
  if (status === 404) return new UnknownPath(path)
  if (status === 503) return new Unavailable(error)
  if (status >= 400 && status < 500) return new InvalidRequest('The request cannot be understood')
  return new InternalError(error)
}
