import { DomainError } from '../../platform/errors/domain-error.js'
import { ValidationFailed } from '../../platform/http/faults.js'

export class FlowNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'flow-not-found', 'Flow not found', `Flow with ID ${id} not found`, { resource: 'flow' })
  }
}

export class FlowVersionNotFound extends ValidationFailed {
  constructor(id: string, version: string) {
    super([{ pointer: '#/version', detail: `Flow ${id} has no version '${version}'`, code: 'unknown_version' }])
  }
}

/** A revision that can never be run: it does not exist, or a step type that it needs has gone. */
export class RevisionUnusable extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'RevisionUnusable'
  }
}
