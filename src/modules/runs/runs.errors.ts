import { DomainError } from '../../platform/errors/domain-error.js'
import type { RunState } from './run-state.js'

export class RunNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'run-not-found', 'Run not found', `Run with ID ${id} not found`, { resource: 'run' })
  }
}

export class RunAlreadyFinished extends DomainError {
  constructor(
    id: string,
    readonly state: RunState,
    message = `Run ${id} is already ${state}`,
  ) {
    super('conflict', 'run-finished', 'Run already finished', message)
  }
}

export class IdempotencyKeyReused extends DomainError {
  constructor() {
    super(
      'key_reused',
      'idempotency-key-reused',
      'Idempotency key reused',
      'This Idempotency-Key was used before with another request',
    )
  }
}

/** More work waits for the journal than it takes in. */
export class JournalFull extends DomainError {
  constructor() {
    super('unavailable', 'overloaded', 'Overloaded', 'Too much work is waiting to be recorded; try again shortly', {
      retryAfter: 1,
    })
  }
}

/** So many accepts of one account wait that others would have no place. */
export class TooManyStarts extends DomainError {
  constructor() {
    super('rate_limited', 'too-many-starts', 'Too many starts', 'Too many starts of this account wait to be recorded', {
      retryAfter: 1,
    })
  }
}

/** The values of the runs that are under way take all the memory that they may. */
export class MemoryExhausted extends DomainError {
  constructor() {
    super('unavailable', 'overloaded', 'Overloaded', 'The runs that are under way need all memory; try again shortly', {
      retryAfter: 2,
    })
  }
}

/** The database could not be reached in time; whether the run was accepted is not known. */
export class JournalUnavailable extends DomainError {
  constructor() {
    super('unavailable', 'database-unavailable', 'Database unavailable', 'The run could not be recorded; try again', {
      retryAfter: 2,
    })
  }
}

/** A value that is kept outside the row is gone or damaged: it is not to be had, and nothing else stands in for it. */
export class ValueUnavailable extends DomainError {
  constructor(reference: string, cause?: unknown) {
    super(
      'unavailable',
      'value-unavailable',
      'Value unavailable',
      `The value ${reference} cannot be read from the object store`,
      {
        cause,
      },
    )
  }
}

/** Another process has taken over this one's runs: whatever it still does counts for nothing. */
export class LeaseLost extends Error {
  constructor() {
    super('this process lost its lease; its runs belong to another')
    this.name = 'LeaseLost'
  }
}

/** The process is starting, stopping, or has just lost its lease. */
export class EngineNotReady extends DomainError {
  constructor() {
    super('unavailable', 'not-ready', 'Not ready', 'The server cannot take runs at this moment; try again shortly', {
      retryAfter: 1,
    })
  }
}
