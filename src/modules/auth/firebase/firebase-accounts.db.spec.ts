import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { testConfig } from '../../../../test/support/config.js'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { Unauthenticated } from '../../../platform/auth/auth.errors.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { systemClock } from '../../../platform/clock/clock.js'
import { AuditTrail } from '../../audit/audit-trail.js'
import { FirebaseAccounts } from './firebase-accounts.js'
import { FirebaseIssuer, ISSUER, PROJECT } from './firebase-issuer.fake.js'
import { IdTokens } from './id-tokens.js'

let database: TestDatabase
let issuer: FirebaseIssuer
/** Those of two processes. */
let here: FirebaseAccounts
let there: FirebaseAccounts

beforeAll(async () => {
  database = await testDatabase()
  issuer = await FirebaseIssuer.start()
  here = newAccounts()
  there = newAccounts()
})

afterAll(async () => {
  await issuer.close()
  await database.drop()
})

beforeEach(() => database.dataSource.query('delete from external_identity; delete from account'))

function newAccounts(set: Record<string, string> = {}): FirebaseAccounts {
  const config = testConfig({ FIREBASE_PROJECT_ID: PROJECT, FIREBASE_JWKS: issuer.url, ...set })
  const tokens = new IdTokens(config, systemClock)
  return new FirebaseAccounts(database.dataSource, database.sql, tokens, config, new AuditTrail(), systemClock)
}

async function account(id: string, email: string, set = { vouched: true, tenant: 'default' }): Promise<void> {
  await database.dataSource.query(
    `insert into account (id, tenant_id, name, email, email_vouched, role, password_hash, created_at, updated_at)
     values ($1, $2, 'Somebody', $3, $4, 'admin', 'x', now(), now())`,
    [id, set.tenant, email, set.vouched],
  )
}

async function emails(): Promise<string[]> {
  const rows = await database.dataSource.query('select email from account where deleted_at is null')
  return rows.map(({ email }: { email: string }) => email)
}

function come(claims: Record<string, unknown> = {}, accounts = here): Promise<Principal> {
  return accounts.principalOf(issuer.token(claims))
}

async function lastAudited(): Promise<Record<string, unknown>> {
  const [entry] = await database.dataSource.query('select * from audit_entry order by seq desc limit 1')
  return entry
}

describe('who comes for the first time', () => {
  it('gets an account, and has it from then on', async () => {
    const first = await come({ name: ' Ada Lovelace ' })
    expect(first).toEqual({
      accountId: expect.stringMatching(/^account_/),
      tenantId: 'default',
      role: 'user',
      email: 'ada@example.com',
      name: 'Ada Lovelace',
      credential: { kind: 'id-token', expiresAt: expect.any(Date) },
    })
    expect(await lastAudited()).toMatchObject({
      action: 'account.create',
      actor_id: first.accountId,
      resource_id: first.accountId,
      after: { email: 'ada@example.com', role: 'user' },
    })
    expect((await come({}, there)).accountId).toBe(first.accountId)
    expect(await emails()).toEqual(['ada@example.com'])
  })

  it('gets one account, however often at the same time and on however many processes', async () => {
    const principals = await Promise.all(Array.from({ length: 20 }, (_, time) => come({}, time % 2 ? here : there)))
    expect(new Set(principals.map(({ accountId }) => accountId)).size).toBe(1)
    expect(await emails()).toHaveLength(1)
  })

  it('has the role that the configuration names, and later the one that an admin gives', async () => {
    const viewers = newAccounts({ FIREBASE_ROLE: 'viewer' })
    expect(await come({}, viewers)).toMatchObject({ role: 'viewer' })
    await database.dataSource.query(`update account set role = 'editor'`)
    expect(await come({}, viewers)).toMatchObject({ role: 'editor' })
  })

  it('is known by what Firebase calls them, not by their address', async () => {
    const first = await come()
    expect((await come({ email: 'new@example.com' })).accountId).toBe(first.accountId)
    const second = await come({ sub: 'uid-2', email: 'two@example.com' })
    expect(second.accountId).not.toBe(first.accountId)
    const [{ id }] = await database.dataSource.query('select id from external_identity where account_id = $1', [
      second.accountId,
    ])
    expect(id).toBe(`${ISSUER} uid-2`)
  })
})

describe('an account with the same address', () => {
  it('is theirs, if Firebase has checked the address and somebody vouches for whose it is here', async () => {
    await account('account_1', 'ADA@example.com')
    expect(await come({}, there)).toMatchObject({ accountId: 'account_1', role: 'admin', email: 'ADA@example.com' })
    expect(await lastAudited()).toMatchObject({ action: 'account.link', resource_id: 'account_1' })
  })

  it('is not theirs, if Firebase has not checked the address', async () => {
    await account('account_1', 'ada@example.com')
    const guest = await come({ email_verified: false })
    expect(guest.accountId).not.toBe('account_1')
    expect(guest).toMatchObject({ role: 'user', email: `${guest.accountId.toLowerCase()}@firebase.invalid` })
    expect((await come({ email_verified: true })).accountId).toBe(guest.accountId)
    expect((await emails()).sort()).toEqual([guest.email, 'ada@example.com'])
  })

  it('is not theirs, if it has given itself the address', async () => {
    await account('account_1', 'ada@example.com', { vouched: false, tenant: 'default' })
    const guest = await come()
    expect(guest.accountId).not.toBe('account_1')
    expect(guest.email).toMatch(/@firebase\.invalid$/)
  })

  it('in another tenant has nothing to do with it', async () => {
    await database.dataSource.query(`insert into tenant (id, name) values ('other', 'Other')`)
    await account('account_1', 'ada@example.com', { vouched: true, tenant: 'other' })
    expect(await come()).toMatchObject({ tenantId: 'default', email: 'ada@example.com' })
  })

  it('that was deleted has nothing to do with it', async () => {
    await account('account_1', 'ada@example.com')
    await database.dataSource.query(`update account set deleted_at = now(), email = ''`)
    expect((await come()).accountId).not.toBe('account_1')
  })
})

it('an address counts from the moment on at which Firebase has checked it', async () => {
  const guest = await come({ email_verified: false })
  expect(guest.email).toMatch(/@firebase\.invalid$/)
  expect(await come({ email: undefined, email_verified: undefined })).toEqual(guest)
  expect(await come({}, there)).toEqual({ ...guest, email: 'ada@example.com' })
  expect(await lastAudited()).toMatchObject({ action: 'account.update', after: { email: 'ada@example.com' } })
  expect(await come({ email_verified: false })).toMatchObject({ email: 'ada@example.com' })
  expect(await come({ sub: 'uid-2', email_verified: false })).not.toMatchObject({ accountId: guest.accountId })
})

it('whose account was deleted stays out, whatever address they come with', async () => {
  const { accountId } = await come()
  await database.dataSource.query(`update account set deleted_at = now(), email = '' where id = $1`, [accountId])
  for (const accounts of [here, there]) {
    await expect(come({}, accounts)).rejects.toThrow(Unauthenticated)
    await expect(come({ email: 'new@example.com' }, accounts)).rejects.toThrow(Unauthenticated)
  }
})

it('names of any kind are taken', async () => {
  const { name } = await come({ name: `\0${'é'.repeat(500)}` })
  expect(name).toBe('é'.repeat(200))
  expect((await come({ sub: "uid' or 1=1 --", email: 'b@example.com', name: '  ' })).name).toBe('b@example.com')
  expect((await come({ sub: 'c', email: undefined, name: ['x'] })).name).toBe('Firebase user')
})
