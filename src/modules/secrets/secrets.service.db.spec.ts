import { afterAll, beforeAll, expect, it } from 'vitest'
import { testConfig } from '../../../test/support/config.js'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import type { Principal, Role } from '../../platform/auth/principal.js'
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { PasswordHasher } from '../../platform/crypto/password-hasher.js'
import { CannotOpen, Sealer } from '../../platform/crypto/sealer.js'
import { Account } from '../accounts/account.entity.js'
import { AccountDependents } from '../accounts/account-dependents.js'
import { AccountNotFound } from '../accounts/accounts.errors.js'
import { AccountsService } from '../accounts/accounts.service.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { Secret } from './secret.entity.js'
import { SecretNotFound } from './secrets.errors.js'
import { SecretsService } from './secrets.service.js'

const clock = new FakeClock()
let database: TestDatabase
let secrets: SecretsService
let ann: Principal
let bob: Principal
/** Admins of this tenant and of another. */
let admin: Principal
let stranger: Principal

beforeAll(async () => {
  database = await testDatabase([Account, Secret])
  const audit = new AuditTrail()
  const accounts = new AccountsService(
    database.dataSource,
    new PasswordHasher({ memoryCost: 64, timeCost: 1 }),
    new AccountDependents(),
    audit,
    clock,
  )
  const sealer = new Sealer(testConfig())
  secrets = new SecretsService(database.dataSource, database.sql, accounts, sealer, audit, clock)
  await database.dataSource.query(`insert into tenant (id, name) values ('other', 'Other')`)
  ann = await insert('default', 'account_ann', 'user')
  bob = await insert('default', 'account_bob', 'editor')
  admin = await insert('default', 'account_admin', 'admin')
  stranger = await insert('other', 'account_stranger', 'admin')
})

afterAll(() => database.drop())

async function insert(tenantId: string, accountId: string, role: Role): Promise<Principal> {
  await database.dataSource.query(
    `insert into account (id, tenant_id, name, email, role, password_hash, created_at, updated_at)
     values ($1, $2, $1, $1, $3, '', now(), now())`,
    [accountId, tenantId, role],
  )
  return { accountId, tenantId, role, email: accountId, name: accountId, credential: { kind: 'basic' } }
}

it('keeps values sealed, shows them never, and reveals them as they are now', async () => {
  const first = await secrets.save(ann, ann.accountId, 'KEY', 'first value')
  expect(first).toEqual({ secret: { key: 'KEY', createdAt: clock.now(), updatedAt: clock.now() }, isNew: true })
  expect(await secrets.reveal('default', ann.accountId)).toEqual({ KEY: 'first value' })
  clock.advance(1_000)
  const second = await secrets.save(ann, ann.accountId, 'KEY', 'second value')
  expect(second).toMatchObject({ isNew: false, secret: { createdAt: first.secret.createdAt, updatedAt: clock.now() } })
  expect(await secrets.reveal('default', ann.accountId)).toEqual({ KEY: 'second value' })
  const list = await secrets.list(ann, ann.accountId)
  expect(list.map((secret) => Object.keys(secret).sort())).toEqual([['createdAt', 'key', 'updatedAt']])
  const rows = await database.dataSource.query('select encode(sealed, $1) as sealed, key_id from secret', ['escape'])
  expect(rows).toMatchObject([{ key_id: 'test' }])
  expect(JSON.stringify(rows)).not.toContain('value')
})

it('is for the account and the admins of its tenant', async () => {
  await secrets.save(admin, ann.accountId, 'BY_ADMIN', 'some value')
  expect((await secrets.list(admin, ann.accountId)).map(({ key }) => key)).toContain('BY_ADMIN')
  for (const caller of [bob, stranger]) {
    await expect(secrets.list(caller, ann.accountId)).rejects.toThrow(AccountNotFound)
    await expect(secrets.save(caller, ann.accountId, 'KEY', 'stolen')).rejects.toThrow(AccountNotFound)
    await expect(secrets.remove(caller, ann.accountId, 'KEY')).rejects.toThrow(AccountNotFound)
  }
  expect(await secrets.reveal('other', ann.accountId)).toEqual({})
  await secrets.remove(admin, ann.accountId, 'BY_ADMIN')
  await expect(secrets.remove(ann, ann.accountId, 'BY_ADMIN')).rejects.toThrow(SecretNotFound)
})

it('cannot be opened in another row', async () => {
  await secrets.save(ann, ann.accountId, 'MOVED', 'some value')
  const moved = `insert into secret select $1, 'MOVED', tenant_id, key_id, sealed, created_at, updated_at
    from secret where account_id = $2 and key = 'MOVED'`
  await database.dataSource.query(moved, [bob.accountId, ann.accountId])
  await expect(secrets.reveal('default', bob.accountId)).rejects.toThrow(CannotOpen)
})

it('makes one secret of two that are saved at once', async () => {
  const both = await Promise.all(
    ['one value', 'two value'].map((value) => secrets.save(admin, admin.accountId, 'K', value)),
  )
  expect(both.map(({ isNew }) => isNew).sort()).toEqual([false, true])
  expect(await secrets.list(admin, admin.accountId)).toHaveLength(1)
})

it('may have a key that objects know already', async () => {
  await secrets.save(stranger, stranger.accountId, '__proto__', 'some value')
  const revealed = await secrets.reveal('other', stranger.accountId)
  expect(Object.entries(revealed)).toEqual([['__proto__', 'some value']])
})

it('audits keys, never values', async () => {
  await secrets.save(bob, bob.accountId, 'AUDITED', 'hunter22')
  await secrets.save(bob, bob.accountId, 'AUDITED', 'hunter23')
  await secrets.remove(bob, bob.accountId, 'AUDITED')
  const entries = await database.dataSource.query(
    `select action, to_json(audit_entry)::text as entry from audit_entry where resource_id = $1 order by seq`,
    [`${bob.accountId}/AUDITED`],
  )
  expect(entries.map(({ action }: { action: string }) => action)).toEqual([
    'secret.create',
    'secret.update',
    'secret.delete',
  ])
  expect(JSON.stringify(entries)).not.toContain('hunter2')
})
