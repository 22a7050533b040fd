import { DomainError } from '../../platform/errors/domain-error.js'
import { InvalidRequest, ValidationFailed } from '../../platform/http/faults.js'

export class BucketNotFound extends DomainError {
  constructor(name: string) {
    super('not_found', 'bucket-not-found', 'Bucket not found', `There is no bucket '${shortened(name)}'`, {
      resource: 'bucket',
    })
  }
}

/** By our own rules or a service's. */
export class BucketNameInvalid extends ValidationFailed {
  /** `rule` goes on from "The name". */
  constructor(rule: string) {
    super([{ pointer: '#/name', detail: `The name ${rule}`, code: 'bucket_name' }])
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

export class ObjectKeyInvalid extends DomainError {
  constructor(reason: string) {
    super('unprocessable', 'object-key-invalid', 'Object key invalid', reason, { resource: 'object' })
  }
}

/** The range begins behind the object's end. */
export class RangeNotSatisfiable extends DomainError {
  constructor(readonly size: number) {
    super(
      'range_not_satisfiable',
      'range-not-satisfiable',
      'Range not satisfiable',
      `The range has nothing of the ${size} bytes that there are`,
      { resource: 'object' },
    )
  }
}

/** A condition on the object's entity tag does not hold. */
export class ObjectChanged extends DomainError {
  constructor() {
    super(
      'precondition_failed',
      'precondition-failed',
      'The thing has changed',
      'The object is not in the state that the condition names',
      { resource: 'object' },
    )
  }
}

/** A content was not as long as it was said to be. */
export class SizeMismatch extends DomainError {
  constructor(said: number, found: number) {
    super(
      'invalid',
      'size-mismatch',
      'Content of another length',
      `The content was said to have ${said} bytes, and had ${found > said ? 'more' : found}`,
      { resource: 'object' },
    )
  }
}

export class UploadNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'upload-not-found', 'Upload not found', `There is no upload '${shortened(id)}' of this object`, {
      resource: 'upload',
    })
  }
}

/** A part that an upload is to be completed from is not there, or is another. */
export class PartInvalid extends DomainError {
  constructor(number: number) {
    super('unprocessable', 'upload-parts-invalid', 'Parts invalid', `There is no such part ${number}`, {
      resource: 'upload',
    })
  }
}

export class PartsOutOfOrder extends DomainError {
  constructor() {
    super('unprocessable', 'upload-parts-invalid', 'Parts invalid', 'The parts must come in ascending order', {
      resource: 'upload',
    })
  }
}

export class PartTooSmall extends DomainError {
  constructor(
    readonly number: number,
    readonly least: number,
  ) {
    super(
      'unprocessable',
      'upload-parts-invalid',
      'Parts invalid',
      `Part ${number} is smaller than ${least} bytes, and is not the last`,
      { resource: 'upload' },
    )
  }
}

/** The tenant may not keep so much. Infinity is no limit. */
export class StorageQuotaExceeded extends DomainError {
  constructor(quota: Counted, used: Counted, added: Counted) {
    const tooMany = used.bytes + added.bytes <= quota.bytes
    super(
      'insufficient_storage',
      'storage-quota-exceeded',
      'Storage quota exceeded',
      tooMany
        ? `There is no room for another object: of ${quota.objects} objects and parts of uploads ${used.objects} are there`
        : `There is no room${added.bytes > 0 ? ` for ${added.bytes} bytes` : ''}: of ${quota.bytes} bytes ${used.bytes} are taken`,
      { resource: 'bucket' },
    )
  }
}

type Counted = Readonly<{ bytes: number; objects: number }>

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

/** A type is said that is not the provider's. Not a fault of the member alone: no value but the present one would be right. */
export class ProviderTypeImmutable extends InvalidRequest {
  constructor() {
    const detail = 'Type cannot be changed after creation'
    super(detail, [{ pointer: '#/type', detail, code: 'immutable' }])
  }
}

/** It cannot be deleted: objects are recorded in it, it is the default, or it is built in. */
export class ProviderInUse extends DomainError {
  constructor(reason: string) {
    super('conflict', 'provider-in-use', 'Provider in use', reason, { resource: 'provider' })
  }
}

function shortened(name: string): string {
  return name.length <= 200 ? name : `${name.slice(0, 200)}…`
}
