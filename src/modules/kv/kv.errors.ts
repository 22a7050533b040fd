import { DomainError } from '../../platform/errors/domain-error.js'

export class KvEntryNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'kv-entry-not-found', 'Key-value entry not found', `Key-value entry with ID ${id} not found`, {
      resource: 'kv entry',
    })
  }
}

/** Somebody else changed the entry since its version was read. Version 0 stands for no entry. */
export class KvVersionConflict extends DomainError {
  constructor(key: string, expected: number, stored: number) {
    super(
      'conflict',
      'kv-version-conflict',
      'The entry has another version',
      stored === 0
        ? `There is no entry ${key}, so it does not have version ${expected}`
        : `The entry ${key} has version ${stored}, not ${expected}`,
      { resource: 'kv entry' },
    )
  }
}
