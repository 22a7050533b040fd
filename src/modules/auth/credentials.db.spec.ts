import { Logger } from '@nestjs/common'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { testConfig } from '../../../test/support/config.js'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { Unauthenticated } from '../../platform/auth/auth.errors.js'
import type { Principal } from '../../platform/auth/principal.js'
import { systemClock } from '../../platform/clock/clock.js'
import { Sealer } from '../../platform/crypto/sealer.js'
import type { Sql, Statement } from '../../platform/database/sql.js'
import { Account } from '../accounts/account.entity.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { AccessKeys } from './access-keys.js'
import { ApiKey } from './api-key.entity.js'
import { ApiKeyTokens } from './api-key-tokens.js'
import { ApiKeysService } from './api-keys.service.js'
import { CredentialUses } from './credential-uses.js'
import { Sessions } from './sessions.js'

const OWNER: Principal = {
  accountId: 'account_1',
  tenantId: 'default',
  role: 'user',
  email: 'a@example.com',
  name: 'A',
  credential: { kind: 'basic' },
}

let database: TestDatabase
let here: Process
let there: Process

/** What one process knows credentials by. Its statements are counted, and can be made to fail. */
class Process {
  statements: string[] = []
  broken = false
  readonly uses: CredentialUses
  readonly sessions: Sessions
  readonly tokens: ApiKeyTokens
  readonly accessKeys: AccessKeys
  readonly keys: ApiKeysService

  constructor({ sql, dataSource }: TestDatabase) {
    const counted = {
      query: <Row extends pg.QueryResultRow>(statement: Statement, values?: unknown[]): Promise<Row[]> => {
        this.statements.push(statement.name)
        return this.broken ? Promise.reject(new Error('the database is away')) : sql.query<Row>(statement, values)
      },
    } as Sql
    this.uses = new CredentialUses(counted)
    this.sessions = new Sessions(counted, this.uses)
    this.tokens = new ApiKeyTokens(testConfig(), counted, this.uses)
    this.accessKeys = new AccessKeys(counted, new Sealer(testConfig()), this.uses)
    this.keys = new ApiKeysService(dataSource, this.tokens, this.accessKeys, new AuditTrail(), systemClock)
  }

  session(until?: string): Promise<string> {
    return database.dataSource.transaction((tx) => this.sessions.start(tx, OWNER.accountId, until))
  }

  async key(): Promise<{ id: string; token: string }> {
    const { key, token } = await this.keys.create(OWNER, { name: 'CI', scopes: ['standard'] })
    return { id: key.id, token }
  }

  async accessKey(expiresAt?: string) {
    const { key, pair } = await this.keys.create(OWNER, { name: 'Backup', scopes: ['s3'], expiresAt })
    if (!pair) throw new Error('a key for S3 has no access key')
    return { id: key.id, ...pair }
  }
}

beforeAll(async () => {
  database = await testDatabase([Account, ApiKey])
  await database.dataSource.query(
    `insert into account (id, tenant_id, name, email, role, password_hash, created_at, updated_at)
     values ('account_1', 'default', 'A', 'a@example.com', 'user', '', now(), now())`,
  )
})

afterAll(() => database.drop())

beforeEach(async () => {
  await database.dataSource.query('delete from session; delete from api_key')
  here = new Process(database)
  there = new Process(database)
})

describe('on another process', () => {
  it('a session is over in the moment that it ends here', async () => {
    const session = await here.session()
    const { credential } = await there.sessions.principalOf(session)
    await database.dataSource.transaction((tx) => here.sessions.end(tx, credential.tokenId ?? ''))
    await expect(there.sessions.principalOf(session)).rejects.toThrow(Unauthenticated)
  })

  it('a session is over in the moment that a login here begins another in its place', async () => {
    const session = await here.session()
    await there.sessions.principalOf(session)
    await here.session(session)
    await expect(there.sessions.principalOf(session)).rejects.toThrow(Unauthenticated)
  })

  it('a key is dead in the moment that it is revoked here', async () => {
    const { id, token } = await here.key()
    await there.tokens.principalOf(token)
    await here.keys.revoke(OWNER, id)
    await expect(there.tokens.principalOf(token)).rejects.toThrow(Unauthenticated)
  })
})

describe('an access key', () => {
  it('is known by its secret, which is sealed, with the role that the account has now', async () => {
    const { id, accessKey, secretKey } = await here.accessKey()
    expect(accessKey).toMatch(/^MR[A-Z2-7]{18}$/)
    expect(secretKey).toMatch(/^[\w-]{40}$/)
    const found = await there.accessKeys.find(accessKey)
    expect(found).toMatchObject({ secret: secretKey, principal: { accountId: 'account_1', role: 'user' } })
    expect(found?.principal.credential).toMatchObject({ kind: 'api-key', tokenId: id, scopes: ['s3'] })
    const [row] = await database.dataSource.query('select key_id, sealed from access_key where id = $1', [accessKey])
    expect(row.key_id).toBe('test')
    expect(row.sealed.includes(secretKey)).toBe(false)
    await database.dataSource.query(`update account set role = 'viewer'`)
    expect((await there.accessKeys.find(accessKey))?.principal.role).toBe('viewer')
    await database.dataSource.query(`update account set role = 'user'`)
  })

  it('is only made for the scope s3, and each is another', async () => {
    expect((await here.keys.create(OWNER, { name: 'CI', scopes: ['standard', 'mcp'] })).pair).toBeUndefined()
    const [one, other] = [await here.accessKey(), await here.accessKey()]
    expect(one.accessKey).not.toBe(other.accessKey)
    expect(one.secretKey).not.toBe(other.secretKey)
    expect(await there.accessKeys.find('MRAAAAAAAAAAAAAAAAAA')).toBeUndefined()
  })

  it('is dead elsewhere in the moment that it is revoked, expired, or its account deleted here', async () => {
    const [revoked, expired, orphan] = [await here.accessKey(), await here.accessKey(), await here.accessKey()]
    await here.keys.revoke(OWNER, revoked.id)
    expect(await there.accessKeys.find(revoked.accessKey)).toBeUndefined()
    expect(await database.dataSource.query('select from access_key where id = $1', [revoked.accessKey])).toEqual([])
    await database.dataSource.query('update api_key set expires_at = now() where id = $1', [expired.id])
    expect(await there.accessKeys.find(expired.accessKey)).toBeUndefined()
    await database.dataSource.query('update account set deleted_at = now()')
    expect(await there.accessKeys.find(orphan.accessKey)).toBeUndefined()
    await database.dataSource.query('update account set deleted_at = null')
    expect(await there.accessKeys.find(orphan.accessKey)).toBeDefined()
  })

  it('opens with no ciphertext of another', async () => {
    const [one, other] = [await here.accessKey(), await here.accessKey()]
    await database.dataSource.query(
      'update access_key set sealed = (select sealed from access_key where id = $1) where id = $2',
      [one.accessKey, other.accessKey],
    )
    await expect(there.accessKeys.find(other.accessKey)).rejects.toThrow('cannot be opened')
  })
})

describe('many requests at the same time', () => {
  it('cost a statement or two together, with sessions and with keys', async () => {
    const session = await here.session()
    const { token } = await here.key()
    const many = <T>(one: () => Promise<T>) => Promise.all(Array.from({ length: 200 }, one))
    await many(() => here.sessions.principalOf(session))
    await many(() => here.tokens.principalOf(token))
    expect(here.statements).toEqual(['account_by_session', 'account_by_api_key'])
  })

  it('write that a credential was used once, later and together', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, () => here.key()))
    for (const { token } of made) await here.tokens.principalOf(token)
    const before = here.statements.length
    await Promise.all([here.uses.write(), there.uses.write()])
    expect(here.statements.slice(before)).toEqual(['api_key_use'])
    const unused = await database.dataSource.query('select from api_key where last_used_at is null')
    expect(unused).toEqual([])
    for (const { token } of made) await here.tokens.principalOf(token)
    await here.uses.beforeApplicationShutdown()
    expect(here.statements.filter((name) => name === 'api_key_use')).toHaveLength(1)
  })
})

it('a use that cannot be written is written the next time, and one of a dead session revives nothing', async () => {
  const warn = vi.spyOn(Logger.prototype, 'warn').mockImplementation(() => {})
  const [session, ended] = [await here.session(), await here.session()]
  await database.dataSource.query(`update session set expires_at = now() + interval '10 minutes'`)
  await here.sessions.principalOf(session)
  const { credential } = await here.sessions.principalOf(ended)
  await database.dataSource.transaction((tx) => there.sessions.end(tx, credential.tokenId ?? ''))
  here.broken = true
  await here.uses.write()
  expect(warn).toHaveBeenCalledOnce()
  here.broken = false
  await here.uses.write()
  const rows = await database.dataSource.query(`select expires_at > now() + interval '1 hour' as extended from session`)
  expect(rows).toEqual([{ extended: true }])
  await here.uses.beforeApplicationShutdown()
  warn.mockRestore()
})

it('a login removes what has expired of its account', async () => {
  for (let time = 0; time < 3; time++) await here.session()
  await database.dataSource.query(`update session set expires_at = now() - interval '1 second'`)
  await here.session()
  expect(await database.dataSource.query('select from session')).toHaveLength(1)
})
