import { DomainError } from '../../platform/errors/domain-error.js'
import { ValidationFailed } from '../../platform/http/faults.js'
import { Unavailable } from '../../platform/http/refusals.js'

/** The artifacts of runs come and go with the runs. */
export class BucketManaged extends DomainError {
  constructor(name: string) {
    super(
      'forbidden',
      'bucket-managed',
      'Bucket is managed',
      `What is in '${name.slice(0, 200)}' comes from runs: it is read here, and not changed`,
      { resource: 'bucket' },
    )
  }
}

/** A form says neither a key nor what its file is called. */
export class KeyMissing extends ValidationFailed {
  constructor() {
    super([{ pointer: '#/key', detail: 'Neither a key nor a file name is given', code: 'required' }])
  }
}

/** Somebody put another object in its place between a look at it and its reading: asked again, the new one is answered. */
export class ObjectReplaced extends Unavailable {}
