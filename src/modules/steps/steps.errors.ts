import { DomainError } from '../../platform/errors/domain-error.js'

export class StepTypeNotFound extends DomainError {
  constructor(name: string) {
    super('not_found', 'module-not-found', 'Module not found', `There is no module '${name}'`, { resource: 'module' })
  }
}
