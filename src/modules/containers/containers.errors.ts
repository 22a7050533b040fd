import { DomainError } from '../../platform/errors/domain-error.js'

export class ContainerRuntimeUnavailable extends DomainError {
  constructor() {
    const message = 'The job runs in a container, and no container runtime answers: neither podman nor Docker'
    super('unprocessable', 'container-runtime-unavailable', 'Container runtime unavailable', message)
  }
}
