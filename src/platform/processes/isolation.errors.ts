import { DomainError } from '../errors/domain-error.js'

/** The host cannot give what a profile promises. Never weakened quietly: nothing is started. */
export class IsolationUnavailable extends DomainError {
  constructor(profile: string, reason: string) {
    super(
      'unavailable',
      'isolation-unavailable',
      'Isolation unavailable',
      `This host cannot run programs under the profile '${profile}': ${reason}`,
    )
  }
}
