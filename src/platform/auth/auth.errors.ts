import { DomainError } from '../errors/domain-error.js'

/** No credentials, or none that count. It never says which part of them was wrong. */
export class Unauthenticated extends DomainError {
  constructor(message = 'Authentication is required or failed') {
    super('unauthenticated', 'unauthorized', 'Authentication is required', message)
  }
}

/** The caller may see it but not do this. */
export class Forbidden extends DomainError {
  constructor(message = 'You do not have permission to do this') {
    super('forbidden', 'forbidden', 'Not permitted', message)
  }
}
