import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { PasswordHasher } from '../../platform/crypto/password-hasher.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { InvalidLogin, TooManyAttempts } from './auth.errors.js'
import { LoginAttempts } from './login-attempts.js'
import { PasswordCheck } from './password-check.js'

/** Counts what is verified, each of which costs the same. */
class CountingHasher extends PasswordHasher {
  verified = 0

  override verify(passwordHash: string | undefined, password: string): Promise<boolean> {
    this.verified += 1
    return super.verify(passwordHash, password)
  }
}

const ADDRESS = '192.0.2.1'
let database: TestDatabase
let hasher: CountingHasher
let check: PasswordCheck

beforeAll(async () => {
  database = await testDatabase()
  hasher = new CountingHasher({ memoryCost: 64, timeCost: 1 })
  await database.dataSource.query(`insert into tenant (id, name) values ('other', 'Other')`)
  await insert('account_1', 'other', 'both@example.com', 'of other', '2020-01-01')
  await insert('account_2', 'default', 'Both@Example.com', 'of default', '2021-01-01')
  await insert('account_4', 'default', 'victim@example.com', 'of the victim', '2022-01-01')
  await insert('account_3', 'other', 'other@example.com', 'of other', '2022-01-01')
})

afterAll(() => database.drop())

beforeEach(async () => {
  await database.dataSource.query('delete from login_attempt')
  hasher.verified = 0
  check = newCheck()
})

function newCheck(): PasswordCheck {
  const attempts = new LoginAttempts(database.sql)
  return new PasswordCheck(database.dataSource, database.sql, hasher, attempts, new AuditTrail())
}

async function insert(id: string, tenantId: string, email: string, password: string, at: string): Promise<void> {
  await database.dataSource.query(
    `insert into account (id, tenant_id, name, email, role, password_hash, created_at, updated_at)
     values ($1, $2, $1, $3, 'user', $4, $5, $5)`,
    [id, tenantId, email, await hasher.hash(password), at],
  )
}

it('verifies one hash, whether the account exists or not', async () => {
  await expect(check.check('nobody@example.com', 'x', ADDRESS)).rejects.toThrow(InvalidLogin)
  expect(hasher.verified).toBe(1)
  await expect(check.check('other@example.com', 'x', ADDRESS)).rejects.toThrow(InvalidLogin)
  expect(hasher.verified).toBe(2)
})

it('finds the account of the default tenant first, and else that of another', async () => {
  expect(await check.check('BOTH@example.com', 'of default', ADDRESS)).toMatchObject({ id: 'account_2' })
  await expect(check.check('both@example.com', 'of other', ADDRESS)).rejects.toThrow(InvalidLogin)
  expect(await check.check('other@example.com', 'of other', ADDRESS)).toMatchObject({
    id: 'account_3',
    tenantId: 'other',
  })
})

it('goes on finding an account whose address somebody of another tenant has taken', async () => {
  await insert('account_5', 'default', 'Other@example.com', 'of whoever took it', '2023-01-01')
  await database.dataSource.query(`update account set email_vouched = false where id = 'account_5'`)
  try {
    expect(await check.check('other@example.com', 'of other', ADDRESS)).toMatchObject({ id: 'account_3' })
  } finally {
    await database.dataSource.query(`delete from account where id = 'account_5'`)
  }
})

it('hashes nothing again for a pair that was right, until the password is another', async () => {
  for (let time = 0; time < 3; time++) await check.checkAgain('other@example.com', 'of other', ADDRESS)
  expect(hasher.verified).toBe(1)
  await database.dataSource.query('update account set password_hash = $1 where id = $2', [
    await hasher.hash('a new one'),
    'account_3',
  ])
  await expect(check.checkAgain('other@example.com', 'of other', ADDRESS)).rejects.toThrow(InvalidLogin)
  await check.checkAgain('other@example.com', 'a new one', ADDRESS)
  expect(hasher.verified).toBe(3)
})

it('refuses a hundred and first failure from one address, before it looks at any password', async () => {
  const guess = (number: number, address: string) => check.check(`guess${number}@example.com`, 'x', address)
  for (let number = 0; number < 100; number++) {
    await expect(guess(number, '2001:db8::1')).rejects.toThrow(InvalidLogin)
  }
  hasher.verified = 0
  await expect(guess(100, '2001:db8::2')).rejects.toThrow(TooManyAttempts)
  expect(hasher.verified).toBe(0)
  await expect(guess(101, '2001:db8:0:1::1')).rejects.toThrow(InvalidLogin)
})

it('counts for all processes together', async () => {
  const processes = [check, newCheck(), newCheck()]
  const results = await Promise.allSettled(
    Array.from({ length: 30 }, (_, index) => processes[index % 3]?.check('other@example.com', 'x', ADDRESS)),
  )
  const reasons = results.map((result) => (result.status === 'rejected' ? result.reason.constructor.name : 'right'))
  expect(reasons.filter((reason) => reason === 'InvalidLogin')).toHaveLength(5)
  expect(reasons.filter((reason) => reason === 'TooManyAttempts')).toHaveLength(25)
})

it.each(['vİctim@example.com', 'nobodİ@example.com'])(
  'counts together what is one name to the database: %s',
  async (name) => {
    const [{ folded }] = await database.dataSource.query('select lower($1) as folded', [name])
    for (const spelling of [name, name.toUpperCase(), name, folded, name]) {
      await expect(check.check(spelling, 'x', ADDRESS)).rejects.toThrow(InvalidLogin)
    }
    for (const spelling of [folded, name]) {
      await expect(check.check(spelling, 'x', ADDRESS)).rejects.toThrow(TooManyAttempts)
    }
  },
)

it('says how long the wait is, and begins anew after it', async () => {
  const guess = () => check.check('other@example.com', 'x', ADDRESS)
  for (let number = 0; number < 5; number++) await expect(guess()).rejects.toThrow(InvalidLogin)
  await database.dataSource.query(`update login_attempt set window_ends_at = now() + interval '17.5 seconds'`)
  const refused = await guess().catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(TooManyAttempts)
  expect([17, 18]).toContain((refused as TooManyAttempts).retryAfter)
  await database.dataSource.query('update login_attempt set window_ends_at = now()')
  await expect(guess()).rejects.toThrow(InvalidLogin)
})

it('forgets what is long over, and keeps no name', async () => {
  await expect(check.check('first@example.com', 'x', '198.51.100.1')).rejects.toThrow(InvalidLogin)
  await database.dataSource.query(`update login_attempt set window_ends_at = now() - interval '2 hours'`)
  await expect(check.check('first@example.com', 'x', '198.51.100.2')).rejects.toThrow(InvalidLogin)
  const rows = await database.dataSource.query('select subject, attempts from login_attempt')
  expect(rows).toHaveLength(2)
  expect(JSON.stringify(rows)).not.toMatch(/example|198/)
})
