import { DomainError } from '../../platform/errors/domain-error.js'

export class ScheduleNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'schedule-not-found', 'Schedule not found', `Schedule with ID ${id} not found`, {
      resource: 'schedule',
    })
  }
}
