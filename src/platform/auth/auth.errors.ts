import { DomainError } from '../errors/domain-error.js'

/** No credentials, or none that count. It never says which part of them was wrong. */
export class Unauthenticated extends DomainError {
  constructor(message = 'Authentication is required or failed') {
    super('unauthenticated', 'unauthorized', 'Authentication is required', message)
  }
}

/** A session's cookie came with a request that another site may have made. */
export class CrossOrigin extends DomainError {
  constructor() {
    super(
      'forbidden',
      'cross-origin',
      'The request comes from another origin',
      "With a session's cookie, only this server's own pages and programs that are no browsers may do this",
    )
  }
}

/** The caller may see it but not do this. */
export class Forbidden extends DomainError {
  constructor(message = 'You do not have permission to do this') {
    super('forbidden', 'forbidden', 'Not permitted', message)
  }
}
