import { DomainError } from '../../platform/errors/domain-error.js'
import { ValidationFailed } from '../../platform/http/faults.js'

export class GroupNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'group-not-found', 'Group not found', `Group with ID ${id} not found`, { resource: 'group' })
  }
}

export class GroupNameTaken extends DomainError {
  constructor(name: string) {
    super(
      'conflict',
      'group-name-taken',
      'The name of the group is taken',
      `A group with the name ${name} exists already`,
      { resource: 'group' },
    )
  }
}

/** Carries what is still in the group, such as `3 flows`. */
export class GroupInUse extends DomainError {
  constructor(held: readonly string[]) {
    super('conflict', 'group-in-use', 'The group is not empty', `The group still holds ${held.join(' and ')}`, {
      resource: 'group',
    })
  }
}

/** Members that are no accounts of the tenant, each by its place in the list. */
export class UnknownMembers extends ValidationFailed {
  constructor(members: readonly string[], isKnown: (member: string) => boolean) {
    super(
      members.flatMap((member, index) =>
        isKnown(member)
          ? []
          : [{ pointer: `#/members/${index}`, detail: `There is no account ${member}`, code: 'unknown_account' }],
      ),
    )
  }
}
