import { DomainError, type Fault } from '../../platform/errors/domain-error.js'
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

/** Nothing starts a flow that is disabled, unless it is told to. */
export class FlowDisabled extends DomainError {
  constructor(id: string) {
    super('conflict', 'flow-disabled', 'Flow disabled', `Flow ${id} is disabled`)
  }
}

/** The name for programs is another flow's. */
export class PermanentIdTaken extends DomainError {
  constructor(permanentId: string) {
    super('conflict', 'permanent-id-taken', 'Permanent ID taken', `Another flow has the permanent ID '${permanentId}'`)
  }
}

/** It is written in another language, and is no plain chain of nodes. */
export class FlowNotLayered extends DomainError {
  constructor(id: string, reason: string) {
    super('conflict', 'flow-not-layered', 'Flow not layered', `Flow ${id} cannot be told in layers: ${reason}`)
  }
}

export class LayerNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'layer-not-found', 'Layer not found', `Layer with ID ${id} not found`, { resource: 'layer' })
  }
}

/** Other layers speak of it. */
export class LayerInUse extends DomainError {
  constructor(id: string, faults: readonly Fault[]) {
    const [first] = faults
    super('conflict', 'layer-in-use', 'Layer in use', `Layer ${id} is needed: ${first?.detail ?? 'others name it'}`)
  }
}

/** A revision that can never be run: it does not exist, or a step type that it needs has gone. */
export class RevisionUnusable extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'RevisionUnusable'
  }
}
