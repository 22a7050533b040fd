import type { ArgumentFault } from '../../definitions/flwd/index.js'
import { DomainError } from '../../platform/errors/domain-error.js'
import { ValidationFailed } from '../../platform/http/faults.js'

export class JobNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'job-not-found', 'Job not found', `The job '${shown(id)}' does not exist`, { resource: 'job' })
  }
}

/** Two folders come to the same id, and nobody can know which is meant. */
export class JobIdCollision extends DomainError {
  constructor(id: string, places: readonly string[]) {
    const where = places.slice(0, 5).join(' and ')
    super('conflict', 'job-id-collision', 'Job ID collision', `The id '${shown(id)}' is that of several jobs: ${where}`)
  }
}

/** What is on disk cannot be run. */
export class JobBroken extends DomainError {
  constructor(id: string, { message, path, line }: { message: string; path: string; line?: number }) {
    const place = line === undefined ? path : `${path}, line ${line}`
    super('unprocessable', 'job-broken', 'Job broken', `The job '${shown(id)}' cannot be run: ${message} (${place})`)
  }
}

/** What the operator's policy does not allow. */
export class PolicyDenied extends DomainError {
  constructor(why: string) {
    super('forbidden', 'policy-denied', 'Denied by policy', `It is not allowed here: ${shown(why)}`)
  }
}

/** A request names a tenant that its credentials are not for. */
export class TenantMismatch extends DomainError {
  constructor() {
    super('forbidden', 'tenant-mismatch', 'Tenant mismatch', 'The credentials are for another tenant')
  }
}

/** No fault tells a value: it may be a secret. */
export class ArgumentsInvalid extends ValidationFailed {
  constructor(faults: readonly ArgumentFault[]) {
    super(faults.map(({ pointer, detail, code }) => ({ pointer: `#/args${pointer}`, detail, code })))
  }
}

function shown(id: string): string {
  const cut = id.length > 200 ? `${id.slice(0, 200)}…` : id
  return cut.replace(/[\p{Cc}\p{Cs}]/gu, '?')
}
