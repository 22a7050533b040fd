import { Injectable } from '@nestjs/common'
import type { EntityManager } from 'typeorm'

/** How many things of one kind are in a group, counted in the transaction that would delete it. */
export type CountHeld = (tx: EntityManager, groupId: string) => Promise<number>

/** Removes what nobody could reach any more without the group, in the transaction that deletes it. */
export type RemoveWithGroup = (tx: EntityManager, groupId: string) => Promise<void>

/**
 * What other modules keep in groups. Groups know none of it: a module registers when it starts (`onModuleInit`) either a count of what
 * keeps a group from being deleted, under the noun that the refusal then names, or the removal of what goes with it.
 *
 * Whoever puts something into a group locks its row `for key share` in the same transaction; a deletion waits for that, or is seen by it.
 */
@Injectable()
export class GroupDependents {
  private readonly counts = new Map<string, CountHeld>()
  private readonly removals = new Set<RemoveWithGroup>()

  /** `noun` in the singular, such as `flow`. */
  register(noun: string, count: CountHeld): void {
    this.counts.set(noun, count)
  }

  registerRemoval(remove: RemoveWithGroup): void {
    this.removals.add(remove)
  }

  /** Such as `['3 flows']`. */
  async of(tx: EntityManager, groupId: string): Promise<string[]> {
    const held: string[] = []
    for (const [noun, count] of this.counts) {
      const number = await count(tx, groupId)
      if (number > 0) held.push(`${number} ${noun}${number === 1 ? '' : 's'}`)
    }
    return held
  }

  async remove(tx: EntityManager, groupId: string): Promise<void> {
    for (const remove of this.removals) await remove(tx, groupId)
  }
}
