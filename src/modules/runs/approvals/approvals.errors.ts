import { DomainError } from '../../../platform/errors/domain-error.js'

/** Somebody was first. */
export class AlreadyDecided extends DomainError {
  constructor(runId: string, node: string, decision: string) {
    super('conflict', 'approval-decided', 'Already decided', `'${node}' of run ${runId} is already ${decision}`)
  }
}

export class NothingToApprove extends DomainError {
  constructor(runId: string, node: string) {
    super(
      'conflict',
      'nothing-to-approve',
      'Nothing waits for an approval',
      `'${node}' of run ${runId} does not wait for an approval`,
    )
  }
}

export class MayNotApprove extends DomainError {
  constructor(node: string) {
    super('forbidden', 'forbidden', 'Not permitted', `You are not among those who may approve '${node}'`)
  }
}
