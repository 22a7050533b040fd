import { DomainError } from '../../platform/errors/domain-error.js'

export class SecretNotFound extends DomainError {
  constructor(key: string) {
    super('not_found', 'secret-not-found', 'Secret not found', `Secret ${key} not found`, { resource: 'secret' })
  }
}
