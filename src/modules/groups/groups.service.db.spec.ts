import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import type { Principal } from '../../platform/auth/principal.js'
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { Account } from '../accounts/account.entity.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { FlowGroup } from './flow-group.entity.js'
import { GroupDependents } from './group-dependents.js'
import { GroupInUse, GroupNotFound } from './groups.errors.js'
import { GroupsService } from './groups.service.js'

let database: TestDatabase
let dependents: GroupDependents
let groups: GroupsService

const ann: Principal = {
  accountId: 'account_ann',
  tenantId: 'default',
  role: 'user',
  email: 'ann@example.com',
  name: 'Ann',
  credential: { kind: 'basic' },
}

beforeAll(async () => {
  database = await testDatabase([Account, FlowGroup])
  await database.dataSource.query(
    `insert into account (id, tenant_id, name, email, role, password_hash, created_at, updated_at)
     values ('account_ann', 'default', 'Ann', 'ann@example.com', 'user', '', now(), now())`,
  )
})

beforeEach(async () => {
  await database.dataSource.query('delete from flow_group')
  dependents = new GroupDependents()
  groups = new GroupsService(database.dataSource, dependents, new AuditTrail(), new FakeClock())
})

afterAll(() => database.drop())

describe('a group', () => {
  it('stays while another module counts things in it, and says what they are', async () => {
    const { id } = await groups.create(ann, { name: 'Full' })
    let flows = 1
    dependents.register('flow', async (_tx, groupId) => (groupId === id ? flows : 0))
    dependents.register('template', async () => 2)
    const refused = groups.remove(ann, id)
    await expect(refused).rejects.toThrow(GroupInUse)
    await expect(refused).rejects.toThrow('The group still holds 1 flow and 2 templates')
    expect(await groups.get(ann, id)).toMatchObject({ name: 'Full' })
    flows = 0
    dependents.register('template', async () => 0)
    await groups.remove(ann, id)
    await expect(groups.get(ann, id)).rejects.toThrow(GroupNotFound)
  })

  it('takes with it what other modules say, or nothing of it', async () => {
    const { id } = await groups.create(ann, { name: 'Going' })
    const { id: other } = await groups.create(ann, { name: 'Staying' })
    dependents.registerRemoval(async (tx) => {
      await tx.query('delete from flow_group where id = $1', [other])
    })
    dependents.registerRemoval(async () => {
      throw new Error('not now')
    })
    await expect(groups.remove(ann, id)).rejects.toThrow('not now')
    expect((await groups.page(ann, { limit: 10, offset: 0 })).total).toBe(2)
  })

  it('is not deleted from below what is being put into it', async () => {
    const { id } = await groups.create(ann, { name: 'Busy' })
    let isIn = 0
    dependents.register('flow', async () => isIn)
    const runner = database.dataSource.createQueryRunner()
    await runner.startTransaction()
    await runner.query('select from flow_group where id = $1 for key share', [id])
    const removal = groups.remove(ann, id)
    const blocked = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    await vi.waitUntil(async () => (await database.dataSource.query(blocked)).length === 1, {
      timeout: 10_000,
      interval: 10,
    })
    isIn = 1
    await runner.commitTransaction()
    await runner.release()
    await expect(removal).rejects.toThrow(GroupInUse)
  })

  it('is audited with what changed', async () => {
    const { id } = await groups.create(ann, { name: 'Audited' })
    await groups.update(ann, id, { index: 5, members: [ann.accountId] })
    await groups.remove(ann, id)
    const entries = await database.dataSource.query(
      'select action, actor_id, before, after from audit_entry where resource_id = $1 order by seq',
      [id],
    )
    const before = { name: 'Audited', index: 0, members: [] }
    const after = { ...before, index: 5, members: [ann.accountId] }
    expect(entries).toEqual([
      { action: 'group.create', actor_id: ann.accountId, before: null, after: before },
      { action: 'group.update', actor_id: ann.accountId, before, after },
      { action: 'group.delete', actor_id: ann.accountId, before: after, after: null },
    ])
  })
})
