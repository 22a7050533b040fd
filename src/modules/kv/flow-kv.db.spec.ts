import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { testConfig } from '../../../test/support/config.js'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import type { RunIdentity } from '../../engine/step.js'
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { Sealer } from '../../platform/crypto/sealer.js'
import { newId } from '../../platform/ids.js'
import type { Json } from '../../platform/json.js'
import { transactionOf } from '../steps/transactions.js'
import { FlowKv } from './flow-kv.js'
import { KvEntries } from './kv-entries.js'
import type { KvConflict } from './kv-resolution.js'
import { KvStore } from './kv-store.js'

const sealer = new Sealer(testConfig())
let database: TestDatabase
let clock: FakeClock
let kv: FlowKv
let run: RunIdentity
let groupId: string

beforeAll(async () => {
  database = await testDatabase()
  await database.dataSource.query(
    `insert into account (id, tenant_id, name, email, role, password_hash, created_at, updated_at)
     values ('account_ann', 'default', 'Ann', 'ann@example.com', 'user', '', now(), now()),
       ('account_bob', 'default', 'Bob', 'bob@example.com', 'user', '', now(), now())`,
  )
})

beforeEach(async () => {
  await database.dataSource.query('delete from kv_entry')
  clock = new FakeClock()
  kv = new FlowKv(database.sql, sealer, clock)
  groupId = await group('account_ann')
  run = { id: newId('run'), flowId: await flow('account_ann'), tenantId: 'default', accountId: 'account_ann' }
})

afterAll(() => database.drop())

async function flow(accountId: string): Promise<string> {
  const id = newId('flow')
  await database.dataSource.query(
    `insert into flow (id, tenant_id, account_id, name, description, version, tags, revision, created_at, updated_at)
     values ($1, 'default', $2, 'Flow', '', 'v1', '{}', 1, now(), now())`,
    [id, accountId],
  )
  return id
}

async function group(accountId: string): Promise<string> {
  const id = newId('group')
  await database.dataSource.query(`insert into flow_group values ($1, 'default', $2, $1, 0, '{}', now(), now())`, [
    id,
    accountId,
  ])
  return id
}

describe('an entry', () => {
  it('is read where it was written, and not elsewhere', async () => {
    const { flowId } = run
    expect(await kv.set(run, { key: 'k', scope: 'flow' }, 'own')).toEqual({
      scope: 'flow',
      scopeKey: flowId,
      version: 1,
    })
    expect(await kv.set(run, { key: 'k', scope: 'global' }, 'all')).toEqual({
      scope: 'global',
      scopeKey: null,
      version: 1,
    })
    expect(await kv.set(run, { key: 'k', scope: 'flow_group', scopeKey: groupId }, 'group')).toMatchObject({
      version: 1,
    })
    expect(await kv.get(run, { key: 'k', scope: 'flow' })).toBe('own')
    expect(await kv.get(run, { key: 'k', scope: 'global' })).toBe('all')
    expect(await kv.get(run, { key: 'k', scope: 'flow_group', scopeKey: groupId })).toBe('group')
    expect(await kv.get(run, { key: 'k', scope: 'flow', scopeKey: await flow('account_ann') })).toBeUndefined()
    expect(
      await kv.get({ ...run, accountId: 'account_bob' }, { key: 'k', scope: 'flow', scopeKey: flowId }),
    ).toBeUndefined()
  })

  it('of the whole account is what the store step keeps', async () => {
    const store = new KvStore(database.sql, sealer, clock)
    await kv.append(run, { key: 'list', scope: 'global' }, 1)
    await store.append(run, 'list', 2)
    expect(await kv.append(run, { key: 'list', scope: 'global' }, 3)).toMatchObject({ length: 3, version: 3 })
    expect(await store.get(run, 'list')).toEqual([1, 2, 3])
    expect(await store.clear(run)).toBe(1)
  })

  it('of another flow or group is written only where that is the account’s', async () => {
    const theirs = [await flow('account_bob'), 'flow_0', groupId]
    for (const scopeKey of theirs) {
      await expect(kv.set(run, { key: 'k', scope: 'flow', scopeKey }, 1)).rejects.toMatchObject({
        code: 'kv_unknown_scope',
        retryable: false,
      })
    }
    for (const scopeKey of [await group('account_bob'), 'group_0', run.flowId + 1]) {
      await expect(kv.append(run, { key: 'k', scope: 'flow_group', scopeKey }, 1)).rejects.toThrow('there is no group')
    }
    await kv.set(run, { key: 'k', scope: 'flow', scopeKey: await flow('account_ann') }, 1)
  })

  it('of its group cannot be written by a flow that is in none', async () => {
    await expect(kv.set(run, { key: 'k', scope: 'flow_group' }, 1)).rejects.toMatchObject({ code: 'kv_no_group' })
    expect(await kv.get(run, { key: 'k', scope: 'flow_group' })).toBeUndefined()
  })

  it('lives as long as it is told', async () => {
    await kv.set(run, { key: 'k', scope: 'flow' }, [1], new Date(clock.now().getTime() + 1_000))
    await kv.append(run, { key: 'k', scope: 'flow' }, 2)
    expect(await kv.get(run, { key: 'k' })).toEqual([1, 2])
    clock.advance(1_000)
    expect(await kv.get(run, { key: 'k' })).toBeUndefined()
    expect(await kv.append(run, { key: 'k', scope: 'flow' }, 3)).toMatchObject({ length: 1, version: 1 })
  })

  it('loses no appended value', async () => {
    const lengths = await Promise.all(
      Array.from({ length: 60 }, async (_, value) => (await kv.append(run, { key: 'k', scope: 'flow' }, value)).length),
    )
    expect(lengths.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, index) => index + 1))
    expect(((await kv.get(run, { key: 'k' })) as Json[]).length).toBe(60)
  })

  it('is written with the step’s transaction or not at all', async () => {
    const undone = database.sql.transaction(async (tx) => {
      const within = kv.within(transactionOf(tx))
      await within.set(run, { key: 'k', scope: 'flow' }, 1)
      await within.append(run, { key: 'list', scope: 'global' }, 1)
      expect(await within.get(run, { key: 'k' })).toBe(1)
      throw new Error('the step failed')
    })
    await expect(undone).rejects.toThrow('the step failed')
    expect(await kv.get(run, { key: 'k' })).toBeUndefined()
    expect(await kv.get(run, { key: 'list' })).toBeUndefined()
  })
})

describe('what a flow sees', () => {
  async function settings(more: { group?: string | null; inherit?: boolean; conflict?: KvConflict }): Promise<void> {
    const { group = groupId, inherit = true, conflict = 'child' } = more
    await database.dataSource.query('update flow set group_id = $2, kv_inherit = $3, kv_conflict = $4 where id = $1', [
      run.flowId,
      group,
      inherit,
      conflict,
    ])
  }

  beforeEach(async () => {
    await settings({})
    await kv.set(run, { key: 'k', scope: 'global' }, { from: 'global', wide: 1, deep: { a: 1 } })
    await kv.set(run, { key: 'k', scope: 'flow_group' }, { from: 'group', mid: 1, deep: { b: 2 } })
    await kv.set(run, { key: 'k', scope: 'flow' }, { from: 'flow', deep: { a: 3 } })
  })

  const seen = async (key = 'k') => (await kv.resolve(run, key))?.value

  it('is its own entry, its group’s, and the account’s, in this order', async () => {
    await kv.set(run, { key: 'in group', scope: 'flow_group' }, 'group')
    await kv.set(run, { key: 'in group', scope: 'global' }, 'global')
    await kv.set(run, { key: 'in all', scope: 'global' }, 'global')
    expect(await seen()).toMatchObject({ from: 'flow' })
    expect(await seen('in group')).toBe('group')
    expect(await seen('in all')).toBe('global')
    expect(await seen('nowhere')).toBeUndefined()
    await settings({ group: null })
    expect(await seen('in group')).toBe('global')
    await settings({ group: await group('account_ann') })
    expect(await seen('in group')).toBe('global')
  })

  it('is the widest, or all of them merged, where the flow says so', async () => {
    await settings({ conflict: 'parent' })
    expect(await seen()).toMatchObject({ from: 'global' })
    await settings({ conflict: 'merge' })
    expect(await seen()).toEqual({ from: 'flow', wide: 1, mid: 1, deep: { a: 3, b: 2 } })
  })

  it('is its own alone where it does not inherit, but what is global can be asked for', async () => {
    await settings({ inherit: false, conflict: 'merge' })
    await kv.set(run, { key: 'in all', scope: 'global' }, 'global')
    expect(await seen()).toEqual({ from: 'flow', deep: { a: 3 } })
    expect(await seen('in all')).toBeUndefined()
    expect(await kv.getGlobal(run, 'in all')).toMatchObject({ value: 'global' })
    expect(await kv.get(run, { key: 'in all', scope: 'global' })).toBe('global')
    expect(await kv.get(run, { key: 'k', scope: 'flow_group' })).toMatchObject({ from: 'group' })
  })

  it('is nothing of another account’s, whatever it claims', async () => {
    expect(await kv.resolve({ ...run, accountId: 'account_bob' }, 'k')).toBeUndefined()
    expect(await kv.getGlobal({ ...run, accountId: 'account_bob' }, 'k')).toBeUndefined()
  })

  it('is told to expressions as it is, and masked for steps, where it is a secret', async () => {
    const rows = new KvEntries(database.sql, sealer, clock)
    const place = {
      tenantId: 'default',
      accountId: run.accountId,
      scope: 'global',
      scopeKey: '',
      key: 'token',
    } as const
    await rows.set(place, 'hunter22', { secret: true })
    expect(await kv.resolve(run, 'token')).toEqual({ value: 'hunter22', secret: true })
    expect(await kv.get(run, { key: 'token' })).toBe('***')
    expect(await kv.get(run, { key: 'token', scope: 'global' })).toBe('***')
  })
})
