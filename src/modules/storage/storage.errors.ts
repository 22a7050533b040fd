import { DomainError } from '../../platform/errors/domain-error.js'

export class BucketNotFound extends DomainError {
  constructor(name: string) {
    super('not_found', 'bucket-not-found', 'Bucket not found', `There is no bucket '${shortened(name)}'`, {
      resource: 'bucket',
    })
  }
}

export class BucketExists extends DomainError {
  constructor(name: string) {
    super('conflict', 'bucket-exists', 'Bucket exists', `There is a bucket '${shortened(name)}' already`, {
      resource: 'bucket',
    })
  }
}

export class BucketNotEmpty extends DomainError {
  constructor(name: string) {
    super(
      'conflict',
      'bucket-not-empty',
      'Bucket not empty',
      `The bucket '${shortened(name)}' still has objects in it`,
      { resource: 'bucket' },
    )
  }
}

export class ObjectNotFound extends DomainError {
  constructor(key: string) {
    super('not_found', 'object-not-found', 'Object not found', `There is no object '${shortened(key)}'`, {
      resource: 'object',
    })
  }
}

export class ObjectExists extends DomainError {
  constructor(key: string) {
    super('conflict', 'object-exists', 'Object exists', `There is an object '${shortened(key)}' already`, {
      resource: 'object',
    })
  }
}

/** A service behind a provider refused, or did not answer. */
export class ProviderFailed extends DomainError {
  constructor(message: string, cause?: unknown) {
    super('bad_gateway', 'storage-provider-failed', 'Storage provider failed', message, { cause, resource: 'provider' })
  }
}

export class ProviderNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'provider-not-found', 'Provider not found', `There is no provider '${shortened(id)}'`, {
      resource: 'provider',
    })
  }
}

function shortened(name: string): string {
  return name.length <= 200 ? name : `${name.slice(0, 200)}…`
}
