import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { Forbidden } from '../../platform/auth/auth.errors.js'
import type { Principal, Role } from '../../platform/auth/principal.js'
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { PasswordHasher } from '../../platform/crypto/password-hasher.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { Account } from './account.entity.js'
import { AccountDependents } from './account-dependents.js'
import { AccountInUse, AccountNotFound, EmailTaken, LastAdmin } from './accounts.errors.js'
import { AccountsService } from './accounts.service.js'

let database: TestDatabase
let accounts: AccountsService
let dependents: AccountDependents
/** The first admins of two tenants. */
let here: Principal
let there: Principal

beforeAll(async () => {
  database = await testDatabase([Account])
  await database.dataSource.query(`insert into tenant (id, name) values ('other', 'Other')`)
})

afterAll(() => database.drop())

beforeEach(async () => {
  await database.dataSource.query(
    'delete from secret; delete from flow_group; delete from access_token; delete from account',
  )
  dependents = new AccountDependents()
  const hasher = new PasswordHasher({ memoryCost: 64, timeCost: 1 })
  accounts = new AccountsService(database.dataSource, hasher, dependents, new AuditTrail(), new FakeClock())
  here = await insert('default', 'account_a', 'admin')
  there = await insert('other', 'account_b', 'admin')
})

async function insert(tenantId: string, accountId: string, role: Role): Promise<Principal> {
  const email = `${accountId}@example.com`
  await database.dataSource.query(
    `insert into account (id, tenant_id, name, email, role, password_hash, created_at, updated_at)
     values ($1, $2, $1, $3, $4, '', now(), now())`,
    [accountId, tenantId, email, role],
  )
  return { accountId, tenantId, role, email, name: accountId, credential: { kind: 'basic' } }
}

function someone(email: string, role: Role = 'user') {
  return { name: 'Someone', email, password: 'long enough', role }
}

describe('tenants', () => {
  it('see and change nothing of each other', async () => {
    const mine = await accounts.create(here, someone('mine@example.com'))
    const whole = { limit: 100, offset: 0 }
    expect((await accounts.page(there, whole)).accounts.map(({ id }) => id)).toEqual(['account_b'])
    expect((await accounts.page(here, whole)).total).toBe(2)
    for (const id of [mine.id, here.accountId]) {
      await expect(accounts.get(there, id)).rejects.toThrow(AccountNotFound)
      await expect(accounts.update(there, id, { name: 'x' })).rejects.toThrow(AccountNotFound)
      await expect(accounts.remove(there, id)).rejects.toThrow(AccountNotFound)
    }
    expect(await accounts.get(here, mine.id)).toMatchObject({ name: 'Someone', tenantId: 'default' })
  })

  it('may each have an account of the same e-mail', async () => {
    await accounts.create(here, someone('both@example.com'))
    await accounts.create(there, someone('both@example.com'))
    await expect(accounts.create(here, someone('BOTH@example.com'))).rejects.toThrow(EmailTaken)
  })

  it('each keep an admin of their own', async () => {
    await expect(accounts.remove(here, here.accountId)).rejects.toThrow(LastAdmin)
    await expect(accounts.update(there, there.accountId, { role: 'editor' })).rejects.toThrow(LastAdmin)
  })
})

describe('two requests at once', () => {
  it('never give one e-mail to both', async () => {
    const both = await Promise.allSettled([
      accounts.create(here, someone('race@example.com')),
      accounts.create(here, someone('Race@example.com')),
    ])
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const refused = both.find((one) => one.status === 'rejected')
    expect(refused?.reason).toBeInstanceOf(EmailTaken)
  })

  it.each([
    ['delete', (one: Principal, other: Principal) => accounts.remove(one, other.accountId)],
    ['demote', (one: Principal, other: Principal) => accounts.update(one, other.accountId, { role: 'user' as const })],
    ['delete themselves as', (one: Principal) => accounts.remove(one, one.accountId)],
  ])('never %s the last two admins', async (_, takeAway) => {
    for (let round = 0; round < 5; round++) {
      await database.dataSource.query('delete from account')
      const [one, other] = [
        await insert('default', 'account_1', 'admin'),
        await insert('default', 'account_2', 'admin'),
      ]
      const both = await Promise.allSettled([takeAway(one, other), takeAway(other, one)])
      expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
      expect(both.find((result) => result.status === 'rejected')?.reason).toBeInstanceOf(LastAdmin)
      const left = await database.dataSource.query(`select id from account where role = 'admin' and deleted_at is null`)
      expect(left).toHaveLength(1)
    }
  })
})

describe('an account', () => {
  it('is made by admins only', async () => {
    for (const role of ['editor', 'user', 'viewer'] as const) {
      const caller = await insert('default', `account_${role}`, role)
      await expect(accounts.create(caller, someone('new@example.com'))).rejects.toThrow(Forbidden)
      await expect(accounts.update(caller, caller.accountId, { role: 'admin' })).rejects.toThrow(Forbidden)
      expect((await accounts.page(caller, { limit: 10, offset: 0 })).accounts).toMatchObject([{ id: caller.accountId }])
    }
  })

  it('stays while another module counts things of it, and is then named with them', async () => {
    const { id } = await accounts.create(here, someone('owner@example.com'))
    let flows = 2
    dependents.register('flow', async (_tx, accountId) => (accountId === id ? flows : 0))
    dependents.register('schedule', async () => 1)
    const refused = accounts.remove(here, id)
    await expect(refused).rejects.toThrow(AccountInUse)
    await expect(refused).rejects.toThrow('The account still owns 2 flows and 1 schedule')
    flows = 0
    dependents.register('schedule', async () => 0)
    await accounts.remove(here, id)
  })

  it('leaves nothing but its id when it is deleted', async () => {
    const { id } = await accounts.create(here, someone('gone@example.com'))
    await database.dataSource.query(
      `insert into access_token (id, account_id, expires_at) values ('token_1', $1, now() + interval '1 day')`,
      [id],
    )
    await database.dataSource.query(`insert into secret values ($1, 'KEY', 'default', 'k', '\\x00', now(), now())`, [
      id,
    ])
    await database.dataSource.query(
      `insert into kv_entry (id, tenant_id, account_id, scope, scope_key, key, key_id, sealed, created_at)
       values ('kv_1', 'default', $1, 'global', '', 'KEY', 'k', '\\x00', now())`,
      [id],
    )
    await database.dataSource.query(
      `insert into flow_group values ('group_1', 'default', $1, 'Own', 0, '{}', now(), now()),
         ('group_2', 'default', $2, 'Other', 0, array[$2, $1], now(), now())`,
      [id, here.accountId],
    )
    await accounts.remove(here, id)
    const [row] = await database.dataSource.query('select name, email, password_hash from account where id = $1', [id])
    expect(row).toEqual({ name: '', email: '', password_hash: '' })
    expect(await database.dataSource.query('select from access_token')).toHaveLength(0)
    expect(await database.dataSource.query('select from secret')).toHaveLength(0)
    expect(await database.dataSource.query('select from kv_entry')).toHaveLength(0)
    const groups = await database.dataSource.query('select id, members from flow_group')
    expect(groups).toEqual([{ id: 'group_2', members: [here.accountId] }])
  })

  it('is audited with what changed, without its password', async () => {
    const { id } = await accounts.create(here, someone('audited@example.com'))
    await accounts.update(here, id, { name: 'Other', password: 'hunter22hunter22' })
    await accounts.remove(here, id)
    const entries = await database.dataSource.query(
      'select action, actor_id, before, after from audit_entry where resource_id = $1 order by seq',
      [id],
    )
    const state = { name: 'Someone', email: 'audited@example.com', role: 'user' }
    expect(entries).toEqual([
      { action: 'account.create', actor_id: here.accountId, before: null, after: state },
      {
        action: 'account.update',
        actor_id: here.accountId,
        before: state,
        after: { ...state, name: 'Other', passwordChanged: true },
      },
      { action: 'account.delete', actor_id: here.accountId, before: { ...state, name: 'Other' }, after: null },
    ])
  })

  it('that was refused a change leaves no trace of it', async () => {
    const { id } = await accounts.create(here, someone('kept@example.com'))
    await expect(accounts.update(here, id, { email: here.email, password: 'another one' })).rejects.toThrow(EmailTaken)
    const entries = await database.dataSource.query('select action from audit_entry where resource_id = $1', [id])
    expect(entries).toEqual([{ action: 'account.create' }])
  })
})
