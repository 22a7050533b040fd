import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { emptyDatabase } from '../../../test/support/database.js'
import { closedPort, silentServer } from '../../../test/support/peers/silent.js'
import type { Json, JsonObject } from '../../platform/json.js'
import { GuardedOutbound } from '../../platform/outbound/guarded-outbound.js'
import { loopbackOutbound } from '../loopback.fake.js'
import { FakeStepContext, type FakeStepOptions, failure, runStep } from '../step-context.fake.js'
import { databases } from './database.js'
import { expectAsDescribed } from './described.fake.js'

const types = databases(loopbackOutbound)
let database: Awaited<ReturnType<typeof emptyDatabase>>
let admin: pg.Client

beforeAll(async () => {
  database = await emptyDatabase()
  admin = new pg.Client({ connectionString: database.url })
  await admin.connect()
})

afterAll(async () => {
  await admin?.end()
  await database?.drop()
})

beforeEach(async () => {
  await admin.query('DROP TABLE IF EXISTS users, millrace_outcome')
  await admin.query(`CREATE TABLE users (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, email text UNIQUE, tags text[], settings jsonb,
    born date, "odd "" name" text)`)
})

function typeNamed(name: string) {
  const type = types.find((one) => one.name === name)
  if (!type) throw new Error(`no ${name}`)
  return type
}

async function run(name: string, params: JsonObject, options: FakeStepOptions = {}): Promise<Json> {
  const type = typeNamed(name)
  const { output } = await runStep(type, { connection: database.url, ...params }, new FakeStepContext(options))
  expectAsDescribed(type, output)
  return output
}

const stored = async () => (await admin.query('SELECT * FROM users ORDER BY id')).rows

describe('db-insert', () => {
  it('inserts a row and puts out its id', async () => {
    const data = { name: 'Ada', tags: ['x', 'y'], settings: { a: [1] }, born: '1815-12-10', 'odd " name': 'z' }
    expect(await run('db-insert', { table: 'users', data })).toEqual({ id: 1, ids: [1], rowsAffected: 1 })
    expect(await stored()).toMatchObject([
      { name: 'Ada', email: null, tags: ['x', 'y'], settings: { a: [1] }, 'odd " name': 'z' },
    ])
  })

  it('inserts many at once, or none of them', async () => {
    const data: JsonObject[] = [{ name: 'Ada', email: 'a' }, { name: 'Grace' }]
    expect(await run('db-insert', { table: 'public.users', data })).toEqual({ id: 1, ids: [1, 2], rowsAffected: 2 })
    const clash = run('db-insert', { table: 'users', data: [{ name: 'Eve' }, { email: 'a' }] })
    expect(await failure(clash)).toMatchObject({ code: 'sql_error', retryable: false })
    expect(await stored()).toHaveLength(2)
    expect(await run('db-insert', { table: 'users', data: [] })).toEqual({ id: null, ids: [], rowsAffected: 0 })
  })

  it('puts out another column as the id, and none where there is none', async () => {
    const data = { name: 'Ada' }
    expect(await run('db-insert', { table: 'users', data, idColumn: 'name' })).toMatchObject({ id: 'Ada' })
    expect(await run('db-insert', { table: 'users', data, idColumn: 'number' })).toEqual({
      id: null,
      ids: [],
      rowsAffected: 1,
    })
  })

  it('is done once, also when its attempt is repeated', async () => {
    const params = { table: 'users', data: { name: 'Ada' }, exactlyOnce: true }
    const first = await run('db-insert', params)
    expect(await run('db-insert', params, { attempt: 2 })).toEqual(first)
    expect(await stored()).toHaveLength(1)
  })
})

describe('db-query', () => {
  beforeEach(async () => {
    await admin.query("INSERT INTO users (name, born) SELECT 'user ' || n, '2000-01-01' FROM generate_series(1, 20) n")
  })

  it('reads rows with bound values', async () => {
    const sql = 'SELECT id, name, born FROM users WHERE id = ANY ($1) AND name LIKE $2 ORDER BY id;'
    expect(await run('db-query', { sql, params: [[2, 3], 'user%'] })).toEqual({
      rows: [
        { id: 2, name: 'user 2', born: '2000-01-01' },
        { id: 3, name: 'user 3', born: '2000-01-01' },
      ],
      count: 2,
      truncated: false,
    })
  })

  it('reads no more than the limit', async () => {
    const all = { sql: 'SELECT id FROM users -- all', limit: 5 }
    expect(await run('db-query', all)).toMatchObject({ count: 5, truncated: true })
    expect(await run('db-query', { ...all, limit: 20 })).toMatchObject({ count: 20, truncated: false })
    const endless = {
      sql: 'WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT i FROM n',
      limit: 3,
    }
    expect(await run('db-query', endless)).toEqual({
      rows: [{ i: 1 }, { i: 2 }, { i: 3 }],
      count: 3,
      truncated: true,
    })
  })

  it.each(['SHOW server_version', 'EXPLAIN SELECT 1', 'TABLE users', 'VALUES (1)', '(SELECT 1)', '/* x */ SELECT 1'])(
    'runs %s',
    async (sql) => {
      expect(((await run('db-query', { sql })) as JsonObject).count).toBeGreaterThan(0)
    },
  )

  it.each([
    "INSERT INTO users (name) VALUES ('x')",
    'DELETE FROM users',
    'WITH gone AS (DELETE FROM users RETURNING id) SELECT * FROM gone',
    'SELECT 1; DELETE FROM users',
    'COMMIT; DELETE FROM users',
    'SET TRANSACTION READ WRITE; DELETE FROM users',
    'DO $$ BEGIN SET TRANSACTION READ WRITE; DELETE FROM users; END $$',
    'DO $$ BEGIN COMMIT; DELETE FROM users; END $$',
    'DROP TABLE users',
    "SELECT nextval('users_id_seq')",
    'EXPLAIN ANALYZE DELETE FROM users',
    'CREATE TABLE other (a int)',
  ])('cannot write: %s', async (sql) => {
    expect(await failure(run('db-query', { sql }))).toMatchObject({ code: 'sql_error', retryable: false })
    expect(await stored()).toHaveLength(20)
  })

  it('fails in plain words', async () => {
    expect((await failure(run('db-query', { sql: 'SELECT nothing FROM users' }))).message).toBe(
      'the database said: column "nothing" does not exist',
    )
    expect(await failure(run('db-query', { sql: 'SELECT pg_sleep(5)', timeout: 0.2 }))).toMatchObject({
      code: 'timeout',
    })
  })
})

describe('db-update and db-delete', () => {
  beforeEach(async () => {
    await run('db-insert', {
      table: 'users',
      data: [
        { name: 'Ada', email: 'a', born: '1815-12-10' },
        { name: 'Grace', email: 'g' },
        { name: 'Eve', email: null },
      ],
    })
  })

  it.each<[JsonObject, string[]]>([
    [{ id: 1 }, ['Ada']],
    [{ id: '2' }, ['Grace']],
    [{ id: [1, 3, 99] }, ['Ada', 'Eve']],
    [{ email: null }, ['Eve']],
    [{ id: [1, 2], email: 'g' }, ['Grace']],
    [{ born: '1815-12-10' }, ['Ada']],
    [{ id: [] }, []],
    [{ name: "x' OR '1'='1" }, []],
  ])('where %j', async (where, names) => {
    const data = { settings: { hit: true }, name: null }
    expect(await run('db-update', { table: 'users', data, where })).toEqual({ rowsAffected: names.length })
    const hit = await admin.query('SELECT id FROM users WHERE settings IS NOT NULL AND name IS NULL')
    expect(hit.rowCount).toBe(names.length)
    await admin.query("UPDATE users SET settings = NULL, name = (ARRAY['Ada', 'Grace', 'Eve'])[id]")
    expect(await run('db-delete', { table: 'users', where })).toEqual({ rowsAffected: names.length })
    expect((await stored()).map(({ name }) => name)).toEqual(
      ['Ada', 'Grace', 'Eve'].filter((one) => !names.includes(one)),
    )
  })

  it('do nothing to all rows', async () => {
    expect((await failure(run('db-delete', { table: 'users', where: {} }))).code).toBe('invalid_params')
    expect((await failure(run('db-update', { table: 'users', data: { name: 'x' }, where: {} }))).code).toBe(
      'invalid_params',
    )
    expect(await stored()).toHaveLength(3)
  })
})

describe('db-upsert', () => {
  it('updates what is there, inserts what is not', async () => {
    await run('db-insert', { table: 'users', data: { name: 'Ada', email: 'a', settings: { kept: 1 } } })
    const data = [
      { email: 'a', name: 'Ada L.' },
      { email: 'b', name: 'Bea' },
    ]
    const written = (await run('db-upsert', { table: 'users', data, conflictKey: 'email' })) as JsonObject
    expect(written).toMatchObject({ id: 1, rowsAffected: 2 })
    expect(await stored()).toMatchObject([
      { name: 'Ada L.', settings: { kept: 1 } },
      { name: 'Bea', email: 'b' },
    ])
  })

  it('says where the key is none', async () => {
    const params = { table: 'users', data: { name: 'x' }, conflictKey: ['name'] }
    expect((await failure(run('db-upsert', params))).message).toContain('no unique or exclusion constraint')
  })
})

describe('names made to hurt', () => {
  const names = [
    'x" = "x"; DROP TABLE users; --',
    'users; DROP TABLE users',
    '"',
    "'",
    '__proto__',
    'constructor',
    '$1',
  ]

  it.each(names)('%s is a name', async (name) => {
    await run('db-insert', { table: 'users', data: { name: 'Ada' } })
    const odd = JSON.parse(`{${JSON.stringify(name)}: 1}`) as JsonObject
    const refused: [string, JsonObject][] = [
      ['db-insert', { table: 'users', data: odd }],
      ['db-insert', { table: name, data: { a: 1 } }],
      ['db-update', { table: 'users', data: odd, where: { id: 1 } }],
      ['db-update', { table: 'users', data: { name: 'x' }, where: odd }],
      ['db-upsert', { table: 'users', data: { name: 'x' }, conflictKey: name }],
      ['db-delete', { table: 'users', where: odd }],
      ['db-delete', { table: name, where: { id: 1 } }],
    ]
    for (const [module, params] of refused)
      expect(await failure(run(module, params))).toMatchObject({ code: 'sql_error' })
    expect(await run('db-insert', { table: 'users', data: { name: 'x' }, idColumn: name })).toMatchObject({ ids: [] })
    expect((await stored()).some((row) => row.name === 'Ada')).toBe(true)
  })

  it.each(['', 'x'.repeat(64), 'nul\0'])('%j is none', async (name) => {
    expect((await failure(run('db-delete', { table: 'users', where: { [name]: 1 } }))).code).toBe('invalid_params')
  })
})

describe('the connection', () => {
  const sql = 'SELECT 1 AS one'
  const one = { rows: [{ one: 1 }], count: 1, truncated: false }
  const ask = (params: JsonObject, options: FakeStepOptions = {}) =>
    runStep(typeNamed('db-query'), { sql, ...params }, new FakeStepContext(options)).then(({ output }) => output)

  it('is a URL, an object, the name of a secret, or the secret DATABASE_URL', async () => {
    const url = new URL(database.url)
    const connection = {
      host: url.hostname,
      port: Number(url.port),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      database: url.pathname.slice(1),
    }
    expect(await ask({ connection: database.url })).toEqual(one)
    expect(await ask({ connection })).toEqual(one)
    expect(await ask({ connection: 'WAREHOUSE' }, { namedSecrets: { WAREHOUSE: database.url } })).toEqual(one)
    expect(await ask({}, { namedSecrets: { DATABASE_URL: database.url } })).toEqual(one)
  })

  it('is missed in plain words', async () => {
    expect(await failure(ask({}))).toMatchObject({
      message: 'connection is required unless there is a secret DATABASE_URL',
      code: 'no_connection',
      retryable: false,
    })
    expect((await failure(ask({ connection: 'toString' }))).message).toBe("there is no secret 'toString'")
  })

  it.each([
    'mysql://me:hunter2@db.example.com/x',
    'postgres:///x?host=/var/run/postgresql&password=hunter2',
    'postgres://me:hunter2@',
    'hunter2 is no URL',
    'postgres://me:%zzhunter2@db.example.com/x',
  ])('refuses %s without repeating it', async (connection) => {
    const error = await failure(ask({ connection }))
    expect(error).toMatchObject({ code: 'invalid_params', retryable: false })
    expect(error.message).not.toContain('hunter2')
    const asSecret = await failure(ask({}, { namedSecrets: { DATABASE_URL: connection } }))
    expect(asSecret.message).toMatch(/secret DATABASE_URL|connection is not written/)
    expect(asSecret.message).not.toContain('hunter2')
  })

  it.each([
    'postgres://127.0.0.1/x',
    'postgres://localhost:5432/x',
    'postgres://[::1]/x',
    'postgres://10.0.0.5/x',
    'postgres://169.254.169.254/x',
    'postgres://2130706433/x',
  ])('does not lead to %s unless that is allowed', async (connection) => {
    const guarded = new GuardedOutbound()
    for (const type of databases(guarded)) {
      const params: JsonObject = { sql, table: 't', data: { a: 1 }, where: { a: 1 }, conflictKey: 'a' }
      const known = Object.keys(type.params.properties as object)
      const own = Object.fromEntries(Object.entries(params).filter(([name]) => known.includes(name)))
      expect(await failure(runStep(type, { ...own, connection }))).toMatchObject({
        code: 'outbound_refused',
        retryable: false,
      })
    }
    await guarded.close()
  })

  it('fails in plain words where nobody listens, or nobody answers', async () => {
    const gone = `postgres://me:hunter2@127.0.0.1:${await closedPort()}/x`
    expect(await failure(ask({ connection: gone }))).toMatchObject({ code: 'connection_failed', retryable: true })
    const silent = await silentServer()
    const mute = `postgres://me:hunter2@127.0.0.1:${silent.port}/x`
    expect(await failure(ask({ connection: mute, timeout: 0.2 }))).toMatchObject({ code: 'timeout' })
    await silent.stop()
  })

  it('is encrypted where sslmode asks for it', async () => {
    const url = new URL(database.url)
    url.searchParams.set('sslmode', 'require')
    expect((await failure(ask({ connection: url.href }))).message).toContain('does not support SSL')
  })
})
