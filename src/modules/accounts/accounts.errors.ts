import { DomainError } from '../../platform/errors/domain-error.js'

export class AccountNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'account-not-found', 'Account not found', `Account with ID ${id} not found`, {
      resource: 'account',
    })
  }
}

export class EmailTaken extends DomainError {
  constructor(email: string) {
    super(
      'conflict',
      'email-taken',
      'The e-mail address is taken',
      `An account with the e-mail ${email} exists already`,
      {
        resource: 'account',
      },
    )
  }
}

/** Somebody must be left to manage the accounts. */
export class LastAdmin extends DomainError {
  constructor() {
    super(
      'conflict',
      'last-admin',
      'It is the last admin',
      'The last admin can be neither deleted nor given another role',
      {
        resource: 'account',
      },
    )
  }
}

/** Carries what the account still owns, such as `3 flows`. */
export class AccountInUse extends DomainError {
  constructor(owned: readonly string[]) {
    super('conflict', 'account-in-use', 'The account owns things', `The account still owns ${owned.join(' and ')}`, {
      resource: 'account',
    })
  }
}
