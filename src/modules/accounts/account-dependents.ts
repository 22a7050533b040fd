import { Injectable } from '@nestjs/common'
import type { EntityManager } from 'typeorm'

/** How many things of one kind an account owns, counted in the transaction that would delete it. */
export type CountOwned = (tx: EntityManager, accountId: string) => Promise<number>

/** Removes what an account leaves behind, in the transaction that deletes it. */
export type RemoveOwned = (tx: EntityManager, accountId: string) => Promise<unknown>

/**
 * What keeps an account from being deleted, and what goes with it. Accounts know none of it: a module whose rows should be dealt with
 * first registers a count when it starts (`onModuleInit`), under the noun that the refusal then names; one whose rows mean nothing
 * without the account registers their removal.
 */
@Injectable()
export class AccountDependents {
  private readonly counts = new Map<string, CountOwned>()
  private readonly removals: RemoveOwned[] = []

  /** `noun` in the singular, such as `flow`. */
  register(noun: string, count: CountOwned): void {
    this.counts.set(noun, count)
  }

  registerRemoval(remove: RemoveOwned): void {
    this.removals.push(remove)
  }

  async remove(tx: EntityManager, accountId: string): Promise<void> {
    for (const remove of this.removals) await remove(tx, accountId)
  }

  /** Such as `['3 flows', '1 schedule']`. */
  async of(tx: EntityManager, accountId: string): Promise<string[]> {
    const owned: string[] = []
    for (const [noun, count] of this.counts) {
      const number = await count(tx, accountId)
      if (number > 0) owned.push(`${number} ${noun}${number === 1 ? '' : 's'}`)
    }
    return owned
  }
}
