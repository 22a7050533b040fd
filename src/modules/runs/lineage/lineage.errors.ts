import { DomainError } from '../../../platform/errors/domain-error.js'
import { ValidationFailed } from '../../../platform/http/faults.js'

/** No run can go on from this one, or not any more. */
export class CannotStartAgain extends DomainError {
  constructor(message: string) {
    super('conflict', 'run-cannot-start-again', 'Run cannot start again', message)
  }
}

/** What a replay asks for does not fit the run that it is to replay. */
export class ReplayRefused extends ValidationFailed {
  constructor(member: 'from_node' | 'from_path' | 'version' | 'input' | 'secrets', code: string, ...details: string[]) {
    super(details.map((detail) => ({ pointer: `#/${member}`, detail, code })))
  }
}
