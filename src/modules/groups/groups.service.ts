import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager, In, IsNull } from 'typeorm'
import type { Principal } from '../../platform/auth/principal.js'
import { CLOCK, type Clock, changeTime } from '../../platform/clock/clock.js'
import { unlessTaken } from '../../platform/database/unless-taken.js'
import { type Expected, requireMatch } from '../../platform/http/headers.js'
import { newId } from '../../platform/ids.js'
import type { JsonObject } from '../../platform/json.js'
import { Account } from '../accounts/account.entity.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { FlowGroup } from './flow-group.entity.js'
import { GroupDependents } from './group-dependents.js'
import { GroupInUse, GroupNameTaken, GroupNotFound, UnknownMembers } from './groups.errors.js'

/** The highest place that a group may have. */
export const LAST_INDEX = 1_000_000

export interface NewGroup {
  name: string
  /** Absent: behind all others. */
  index?: number
  members?: string[]
}

export type GroupChange = Partial<NewGroup>

export interface GroupPage {
  groups: FlowGroup[]
  total: number
}

/**
 * The groups that an account sorts its flows into: to everyone else they do not exist. A group that flows are in is not deleted, because
 * its entries are part of what they read.
 */
@Injectable()
export class GroupsService {
  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly dependents: GroupDependents,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async page({ accountId }: Principal, query: { limit: number; offset: number }): Promise<GroupPage> {
    const [groups, total] = await this.database.getRepository(FlowGroup).findAndCount({
      where: { accountId },
      order: { index: 'asc', name: 'asc' },
      take: query.limit,
      skip: query.offset,
    })
    return { groups, total }
  }

  async get(caller: Principal, id: string): Promise<FlowGroup> {
    return await this.find(this.database.manager, caller, id)
  }

  async create(caller: Principal, { name, index, members = [] }: NewGroup): Promise<FlowGroup> {
    const now = this.clock.now()
    return await this.database.transaction(async (tx) => {
      const group: FlowGroup = {
        id: newId('group'),
        tenantId: caller.tenantId,
        accountId: caller.accountId,
        name,
        index: index ?? (await nextIndex(tx, caller)),
        members: await knownMembers(tx, caller, members),
        createdAt: now,
        updatedAt: now,
      }
      await unlessTaken(tx.insert(FlowGroup, group), 'flow_group_name', () => new GroupNameTaken(name))
      await this.record(tx, caller, 'group.create', group, { after: audited(group) })
      return group
    })
  }

  /** Members left out stay. */
  async update(caller: Principal, id: string, change: GroupChange, expected?: Expected): Promise<FlowGroup> {
    return await this.database.transaction(async (tx) => {
      const group = await this.find(tx, caller, id, 'lock')
      requireMatch(expected, group.updatedAt)
      const before = audited(group)
      Object.assign(group, {
        name: change.name ?? group.name,
        index: change.index ?? group.index,
        members: change.members ? await knownMembers(tx, caller, change.members) : group.members,
        updatedAt: changeTime(this.clock.now(), group.updatedAt),
      })
      await unlessTaken(tx.update(FlowGroup, { id }, group), 'flow_group_name', () => new GroupNameTaken(group.name))
      await this.record(tx, caller, 'group.update', group, { before, after: audited(group) })
      return group
    })
  }

  /** Refused while it holds what other modules want dealt with first. */
  async remove(caller: Principal, id: string, expected?: Expected): Promise<void> {
    await this.database.transaction(async (tx) => {
      const group = await this.find(tx, caller, id, 'lock')
      requireMatch(expected, group.updatedAt)
      const held = await this.dependents.of(tx, id)
      if (held.length > 0) throw new GroupInUse(held)
      await this.dependents.remove(tx, id)
      await tx.delete(FlowGroup, { id })
      await this.record(tx, caller, 'group.delete', group, { before: audited(group) })
    })
  }

  private async find(tx: EntityManager, { accountId }: Principal, id: string, lock?: 'lock'): Promise<FlowGroup> {
    const group = await tx.findOne(FlowGroup, {
      where: { id, accountId },
      ...(lock && { lock: { mode: 'pessimistic_write' as const } }),
    })
    if (!group) throw new GroupNotFound(id)
    return group
  }

  private record(
    tx: EntityManager,
    actor: Principal,
    action: string,
    group: FlowGroup,
    states: { before?: JsonObject; after?: JsonObject },
  ): Promise<void> {
    return this.audit.record(tx, { actor, action, resource: ['group', group.id], ...states })
  }
}

async function nextIndex(tx: EntityManager, { accountId }: Principal): Promise<number> {
  const last = await tx.maximum(FlowGroup, 'index', { accountId })
  return last === null ? 0 : Math.min(last + 1, LAST_INDEX)
}

/** Each once, in the order given. */
async function knownMembers(tx: EntityManager, { tenantId }: Principal, members: readonly string[]): Promise<string[]> {
  if (members.length === 0) return []
  const accounts = await tx.find(Account, {
    select: { id: true },
    where: { id: In([...members]), tenantId, deletedAt: IsNull() },
  })
  const known = new Set(accounts.map(({ id }) => id))
  if (members.some((member) => !known.has(member))) throw new UnknownMembers(members, (member) => known.has(member))
  return [...new Set(members)]
}

/** A group as the audit trail keeps it. */
function audited({ name, index, members }: FlowGroup) {
  return { name, index, members }
}
