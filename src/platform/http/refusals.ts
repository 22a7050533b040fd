import { DomainError } from '../errors/domain-error.js'

/** Refusals that no module knows of, because no module was asked. */

export class UnknownPath extends DomainError {
  constructor(path: string) {
    super('not_found', 'unknown-path', 'Nothing is at this path', `Nothing is at ${path}`)
  }
}

/** Carries the methods that the path does have, for the `Allow` header. */
export class MethodNotAllowed extends DomainError {
  constructor(
    method: string,
    readonly allowed: readonly string[],
  ) {
    super(
      'method_not_allowed',
      'method-not-allowed',
      'The path does not have this method',
      `${method} is not possible here, only ${allowed.join(', ')}`,
    )
  }
}

export class UnsupportedMediaType extends DomainError {
  constructor(accepted: readonly string[]) {
    super(
      'unsupported_media_type',
      'unsupported-media-type',
      'The body has a type that is not taken here',
      `The body must be ${accepted.join(' or ')}, in UTF-8`,
    )
  }
}

export class BodyTooLarge extends DomainError {
  constructor(limit: number) {
    super('too_large', 'body-too-large', 'The body is too large', `The body may have at most ${limit} bytes`)
  }
}

export class RateLimited extends DomainError {
  constructor(limit: number, retryAfter: number) {
    super('rate_limited', 'rate-limited', 'Too many requests', `At most ${limit} requests a minute are answered`, {
      retryAfter,
    })
  }
}

/** Says nothing of the cause: that is in the log, under the request's id. */
export class InternalError extends DomainError {
  constructor(cause: unknown) {
    super('internal', 'internal-error', 'Something went wrong on our side', 'The request failed for a reason of ours', {
      cause,
    })
  }
}

export class Unavailable extends DomainError {
  constructor(cause?: unknown) {
    super(
      'unavailable',
      'unavailable',
      'Not available for now',
      'Something that the answer needs is not available for now',
      {
        retryAfter: 5,
        cause,
      },
    )
  }
}
