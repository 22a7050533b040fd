import { DomainError } from '../../platform/errors/domain-error.js'

/** A login that failed, for whichever reason: an unknown account and a wrong password answer the same. */
export class InvalidLogin extends DomainError {
  constructor() {
    super('unauthenticated', 'unauthorized', 'Authentication is required', 'The user name or the password is wrong')
  }
}

/** Too many logins failed for this account or from this address. Right passwords wait, too. */
export class TooManyAttempts extends DomainError {
  constructor(retryAfter: number) {
    super(
      'rate_limited',
      'too-many-logins',
      'Too many logins failed',
      `Too many logins failed: try again in ${retryAfter} ${retryAfter === 1 ? 'second' : 'seconds'}`,
      { retryAfter },
    )
  }
}

export class ApiKeyNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'api-key-not-found', 'API key not found', `API key with ID ${id} not found`, {
      resource: 'api_key',
    })
  }
}
