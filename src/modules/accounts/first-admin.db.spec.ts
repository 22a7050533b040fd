import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { testConfig } from '../../../test/support/config.js'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { systemClock } from '../../platform/clock/clock.js'
import { PasswordHasher } from '../../platform/crypto/password-hasher.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { Account } from './account.entity.js'
import { FirstAdmin } from './first-admin.js'

const hasher = new PasswordHasher({ memoryCost: 64, timeCost: 1 })
let database: TestDatabase
let shown: string[]

beforeAll(async () => {
  database = await testDatabase([Account])
})

afterAll(() => database.drop())

beforeEach(async () => {
  shown = []
  await database.dataSource.query('delete from account')
})

async function start(set: Record<string, string> = {}): Promise<void> {
  const show = (text: string) => void shown.push(text)
  const audit = new AuditTrail()
  await new FirstAdmin(database.dataSource, testConfig(set), hasher, audit, systemClock, show).onApplicationBootstrap()
}

function accounts(): Promise<Account[]> {
  return database.dataSource.getRepository(Account).find()
}

it('is made as the configuration says, and nothing is shown', async () => {
  await start({ ADMIN_EMAIL: 'boss@example.com', ADMIN_PASSWORD: 'correct horse' })
  const [admin, ...others] = await accounts()
  expect(admin).toMatchObject({ tenantId: 'default', email: 'boss@example.com', role: 'admin' })
  expect(await hasher.verify(admin?.passwordHash, 'correct horse')).toBe(true)
  expect(others).toEqual([])
  expect(shown).toEqual([])
})

it('gets a password that is shown once', async () => {
  await start()
  const [admin] = await accounts()
  const [, email, password] = /^The first admin is (\S+), with the password (\S+) /.exec(shown[0] ?? '') ?? []
  expect(email).toBe(admin?.email)
  expect(password?.length).toBeGreaterThanOrEqual(24)
  expect(await hasher.verify(admin?.passwordHash, password ?? '')).toBe(true)
  await start()
  expect(shown).toHaveLength(1)
  expect(await accounts()).toHaveLength(1)
})

it('is made by one of many processes that start together', async () => {
  await Promise.all(Array.from({ length: 8 }, () => start()))
  expect(await accounts()).toHaveLength(1)
  expect(shown).toHaveLength(1)
})

it('is left alone afterwards, whatever the configuration says', async () => {
  await start({ ADMIN_EMAIL: 'boss@example.com', ADMIN_PASSWORD: 'correct horse' })
  const before = await accounts()
  await start({ ADMIN_EMAIL: 'other@example.com', ADMIN_PASSWORD: 'another one' })
  expect(await accounts()).toEqual(before)
})
