import { afterAll, beforeAll, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { runInContext } from '../../platform/http/request-context.js'
import { AuditEntry } from './audit-entry.entity.js'
import { AuditTrail } from './audit-trail.js'

let database: TestDatabase
const trail = new AuditTrail()
const actor = { tenantId: 'default', accountId: 'account_1', email: 'a@example.com' }

beforeAll(async () => {
  database = await testDatabase([AuditEntry])
})
afterAll(() => database.drop())

function entries(action: string): Promise<AuditEntry[]> {
  return database.dataSource.getRepository(AuditEntry).find({ where: { action }, order: { seq: 'asc' } })
}

it('writes who did what to which thing, in which request', async () => {
  const context = { requestId: 'req_1', ip: '192.0.2.7', path: '/' }
  await runInContext(context, () =>
    trail.record(database.dataSource.manager, {
      actor,
      action: 'flow.update',
      resource: ['flow', 'flow_1'],
      before: { name: 'One' },
      after: { name: 'Two', tags: ['a'] },
    }),
  )
  const [entry] = await entries('flow.update')
  expect(entry).toMatchObject({
    id: expect.stringMatching(/^audit_/),
    tenantId: 'default',
    actorId: 'account_1',
    actorEmail: 'a@example.com',
    resourceType: 'flow',
    resourceId: 'flow_1',
    outcome: 'success',
    ip: '192.0.2.7',
    requestId: 'req_1',
    before: { name: 'One' },
    after: { name: 'Two', tags: ['a'] },
  })
  expect(Math.abs(Date.now() - (entry?.at.getTime() ?? 0))).toBeLessThan(60_000)
})

it('keeps secrets out of before and after', async () => {
  await trail.record(database.dataSource.manager, {
    actor,
    action: 'thing.create',
    resource: ['thing'],
    after: { password: 'hunter22', nested: { apiKey: 'hunter22' }, name: 'n' },
  })
  expect(JSON.stringify(await entries('thing.create'))).not.toContain('hunter22')
})

it('forgets an entry with the change that was rolled back', async () => {
  const failing = database.dataSource.transaction(async (tx) => {
    await trail.record(tx, { actor, action: 'flow.delete', resource: ['flow', 'flow_1'] })
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  expect(await entries('flow.delete')).toEqual([])
})

it('cannot be changed or cut', async () => {
  for (const statement of ["update audit_entry set action = 'x'", 'delete from audit_entry', 'truncate audit_entry']) {
    await expect(database.dataSource.query(statement)).rejects.toThrow('append-only')
  }
})
