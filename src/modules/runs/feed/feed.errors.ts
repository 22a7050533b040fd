import { DomainError } from '../../../platform/errors/domain-error.js'

export class InvalidCursor extends DomainError {
  constructor(why: string) {
    super('invalid', 'invalid-cursor', 'Invalid cursor', why)
  }
}

/** What came after the cursor was removed meanwhile, in part or whole. */
export class StaleCursor extends DomainError {
  constructor() {
    super(
      'gone',
      'stale-cursor',
      'Stale cursor',
      'Events behind this cursor were removed with their runs; begin anew without it',
    )
  }
}
