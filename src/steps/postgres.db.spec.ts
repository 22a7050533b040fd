import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { testCertificate } from '../../test/support/certificate.js'
import { emptyDatabase } from '../../test/support/database.js'
import { postgresBehindTls } from '../../test/support/peers/postgres-tls.js'
import { closedPort, silentServer } from '../../test/support/peers/silent.js'
import type { JsonObject } from '../platform/json.js'
import { GuardedOutbound } from '../platform/outbound/guarded-outbound.js'
import { loopbackOutbound, outputOf } from './loopback.fake.js'
import { postgres } from './postgres.js'
import { failure as failureOf } from './step-context.fake.js'

const step = postgres({ outbound: loopbackOutbound })
let database: Awaited<ReturnType<typeof emptyDatabase>>
let admin: pg.Client
let connection: { host: string; port: number; user: string; password: string; dbname: string }

beforeAll(async () => {
  database = await emptyDatabase()
  admin = new pg.Client({ connectionString: database.url })
  await admin.connect()
  const url = new URL(database.url)
  connection = {
    host: url.hostname,
    port: Number(url.port),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    dbname: url.pathname.slice(1),
  }
})

afterAll(async () => {
  await admin?.end()
  await database?.drop()
})

const run = (params: JsonObject, given = {}) => outputOf(step, { ...connection, ...params }, given)
const failure = (params: JsonObject, given = {}) => failureOf(run(params, given))

describe('SQL', () => {
  it('answers rows for what returns rows, and a count otherwise', async () => {
    expect(await run({ operation: 'execute', query: 'CREATE TABLE users (id text PRIMARY KEY, name text)' })).toEqual({
      rows_affected: 0,
    })
    expect(
      await run({
        operation: 'execute',
        query: 'INSERT INTO users VALUES ($1, $2), ($3, $4)',
        args: ['user-123', 'Ada', 'user-2', null],
      }),
    ).toEqual({
      rows_affected: 2,
    })
    expect(await run({ operation: 'query', query: 'SELECT * FROM users WHERE id = $1', args: ['user-123'] })).toEqual([
      { id: 'user-123', name: 'Ada' },
    ])
    expect(await run({ operation: 'execute', query: 'UPDATE users SET name = $1 RETURNING id', args: ['x'] })).toEqual([
      { id: 'user-123' },
      { id: 'user-2' },
    ])
    expect(await run({ operation: 'query', query: 'SELECT id FROM users WHERE false' })).toEqual([])
  })

  it('turns every type into JSON without losing anything', async () => {
    const query = `SELECT 9007199254740993::int8 AS big, 42::int8 AS small, 1.50::numeric AS exact, 0.1234567890123456789::numeric AS long,
      'NaN'::float8 AS nan, true AS yes, '{"a":[1,null]}'::jsonb AS json, '\\x00ff'::bytea AS bytes,
      '2024-02-03 04:05:06.789+02'::timestamptz AS at, '2024-02-03 04:05:06'::timestamp AS local, '2024-02-03'::date AS day,
      'infinity'::timestamptz AS never, ARRAY[1,NULL,3] AS list, ARRAY['a','b,c'] AS texts, ARRAY[9007199254740993::int8, 2] AS bigs,
      interval '1 day 2 hours' AS span, NULL AS nothing`
    expect(await run({ operation: 'query', query })).toEqual([
      {
        big: '9007199254740993',
        small: 42,
        exact: 1.5,
        long: '0.1234567890123456789',
        nan: 'NaN',
        yes: true,
        json: { a: [1, null] },
        bytes: 'AP8=',
        at: '2024-02-03T02:05:06.789Z',
        local: '2024-02-03T04:05:06',
        day: '2024-02-03',
        never: 'infinity',
        list: [1, null, 3],
        texts: ['a', 'b,c'],
        bigs: ['9007199254740993', 2],
        span: '1 day 02:00:00',
        nothing: null,
      },
    ])
  })

  it('binds arguments, whatever they hold', async () => {
    const args = ["'; DROP TABLE users; --", { nested: ['x'] }, ['a', 'b'], 7, true]
    const query = 'SELECT $1::text AS text, $2::jsonb AS json, $3::text[] AS list, $4::int AS number, $5::bool AS yes'
    expect(await run({ operation: 'execute', query, args })).toEqual([
      { text: "'; DROP TABLE users; --", json: { nested: ['x'] }, list: ['a', 'b'], number: 7, yes: true },
    ])
  })

  it('refuses several statements in one text', async () => {
    const error = await failure({ operation: 'execute', query: 'SELECT 1; SELECT 2' })
    expect(error.message).toContain('cannot insert multiple commands')
    expect(error.code).toBe('sql_error')
  })

  it('says what the database said', async () => {
    const error = await failure({ operation: 'query', query: 'SELECT * FROM no_such_table' })
    expect(error).toMatchObject({
      message: 'the database said: relation "no_such_table" does not exist',
      retryable: false,
    })
  })

  it('commits a transaction as a whole, or nothing of it', async () => {
    await run({ operation: 'execute', query: 'CREATE TABLE ledger (id int PRIMARY KEY, amount int)' })
    const insert = (id: number) => ({ query: 'INSERT INTO ledger VALUES ($1, $2)', args: [id, 10] })
    expect(
      await run({ operation: 'transaction', statements: [insert(1), { query: 'SELECT count(*) FROM ledger' }] }),
    ).toEqual({
      results: [{ rows_affected: 1 }, [{ count: 1 }]],
    })
    await failure({ operation: 'transaction', statements: [insert(2), insert(1)] })
    expect(await run({ operation: 'query', query: 'SELECT id FROM ledger' })).toEqual([{ id: 1 }])
  })
})

describe('batch_insert', () => {
  it('inserts and updates by the table’s own types', async () => {
    await run({
      operation: 'execute',
      query: 'CREATE TABLE people (id text PRIMARY KEY, email text, tags text[], extra jsonb, created_at timestamptz)',
    })
    const columns = ['id', 'email', 'tags', 'extra', 'created_at']
    const item = (id: string, email: string) => ({
      id,
      email,
      tags: ['a'],
      extra: [1, 2],
      created_at: '2024-01-01T00:00:00Z',
      ignored: true,
    })
    const upsert = {
      operation: 'batch_insert',
      table: 'people',
      columns,
      on_conflict: 'id',
      on_conflict_action: 'update',
    }
    expect(await run({ ...upsert, items: [item('1', 'one@x.org'), item('2', 'two@x.org')] })).toEqual({
      rows_affected: 2,
    })
    expect(await run({ ...upsert, items: [item('2', 'new@x.org'), item('3', 'three@x.org')] })).toEqual({
      rows_affected: 2,
    })
    expect(
      await run({ operation: 'query', query: 'SELECT id, email, tags, extra, created_at FROM people ORDER BY id' }),
    ).toEqual([
      { id: '1', email: 'one@x.org', tags: ['a'], extra: [1, 2], created_at: '2024-01-01T00:00:00.000Z' },
      { id: '2', email: 'new@x.org', tags: ['a'], extra: [1, 2], created_at: '2024-01-01T00:00:00.000Z' },
      { id: '3', email: 'three@x.org', tags: ['a'], extra: [1, 2], created_at: '2024-01-01T00:00:00.000Z' },
    ])
    expect(await run({ ...upsert, on_conflict_action: 'nothing', items: [item('1', 'other@x.org')] })).toEqual({
      rows_affected: 0,
    })
  })

  it('is all or nothing, and says which key was there', async () => {
    await run({ operation: 'execute', query: 'CREATE TABLE once (id int PRIMARY KEY)' })
    const error = await failure({ operation: 'batch_insert', table: 'once', items: [{ id: 1 }, { id: 1 }] })
    expect(error.message).toContain('duplicate key value violates unique constraint')
    expect(await run({ operation: 'query', query: 'SELECT * FROM once' })).toEqual([])
  })

  it('takes names for names, however hostile', async () => {
    await run({ operation: 'execute', query: 'CREATE TABLE victim (id int)' })
    for (const hostile of ['victim"; DROP TABLE victim; --', 'pg_catalog.pg_class"', 'a'.repeat(64), 'x\0y', '']) {
      await failure({ operation: 'batch_insert', table: hostile, items: [{ id: 1 }] })
      await failure({ operation: 'batch_insert', table: 'victim', items: [{ [hostile]: 1 }] })
      await failure({ operation: 'batch_insert', table: 'victim', items: [{ id: 1 }], on_conflict: hostile })
      await failure({
        operation: 'set',
        table: hostile.includes('victim') ? `${hostile}.x` : hostile,
        key: 'k',
        value: 1,
      })
    }
    expect(await run({ operation: 'query', query: 'SELECT * FROM victim' })).toEqual([])
    await run({ operation: 'execute', query: 'CREATE TABLE "odd ""name" ("Odd Column" int)' })
    expect(await run({ operation: 'batch_insert', table: 'odd "name', items: [{ 'Odd Column': 5 }] })).toEqual({
      rows_affected: 1,
    })
  })
})

describe('keys and values', () => {
  it('makes the table by the first set, and is empty before', async () => {
    expect(await run({ operation: 'list' })).toEqual([])
    expect(await failure({ operation: 'get', key: 'a' })).toMatchObject({
      message: 'item not found: a',
      code: 'not_found',
    })
    expect(await run({ operation: 'set', key: 'b', value: { n: 1 } })).toEqual({ n: 1 })
    expect(await run({ operation: 'set', key: 'a', value: 'text' })).toBe('text')
    expect(await run({ operation: 'get', key: 'b' })).toEqual({ n: 1 })
    expect(await run({ operation: 'list' })).toEqual(['a', 'b'])
    expect(await run({ operation: 'delete', key: 'a' })).toEqual({ deleted: true, key: 'a' })
    expect(await run({ operation: 'delete', key: 'a' })).toEqual({ deleted: false, key: 'a' })
    expect((await admin.query('SELECT key, value FROM flow_store')).rows).toEqual([{ key: 'b', value: { n: 1 } }])
  })

  it('survives that many flows make the table at once', async () => {
    const sets = Array.from({ length: 8 }, (_, index) =>
      run({ operation: 'set', table: 'raced', key: `k${index}`, value: index }),
    )
    await Promise.all(sets)
    expect(await run({ operation: 'list', table: 'raced' })).toHaveLength(8)
  })

  it('forgets what outlived its ttl', async () => {
    await run({ operation: 'set', table: 'short', key: 'gone', value: 1, ttl: '1ms' })
    await run({ operation: 'set', table: 'short', key: 'here', value: 1, ttl: '1h' })
    await vi.waitFor(async () => expect(await run({ operation: 'list', table: 'short' })).toEqual(['here']))
    expect((await failure({ operation: 'get', table: 'short', key: 'gone' })).code).toBe('not_found')
  })

  it('searches by filter, sort and limit', async () => {
    const items = {
      a: { name: 'Ada', age: 36, tags: ['x'], address: { city: 'London' } },
      b: { name: 'Bob', age: 9, tags: ['y'] },
      c: { name: 'Cy', age: 100, tags: ['x', 'y'] },
    }
    for (const [key, value] of Object.entries(items)) await run({ operation: 'set', table: 'searched', key, value })
    const found = async (filter: JsonObject, more: JsonObject = {}) =>
      ((await run({ operation: 'query', table: 'searched', filter, ...more })) as JsonObject[]).map((one) => one._key)
    expect(await found({})).toEqual(['a', 'b', 'c'])
    expect(await found({ name: 'Ada' })).toEqual(['a'])
    expect(await found({ name: { $ne: 'Ada' } })).toEqual(['b', 'c'])
    expect(await found({ age: { $gt: 9, $lte: 100 } })).toEqual(['a', 'c'])
    expect(await found({ age: { $lt: '50' } })).toEqual([])
    expect(await found({ name: { $in: ['Bob', 'Cy'] } })).toEqual(['b', 'c'])
    expect(await found({ name: { $contains: 'o' } })).toEqual(['b'])
    expect(await found({ tags: { $contains: 'x' } })).toEqual(['a', 'c'])
    expect(await found({ 'address.city': 'London' })).toEqual(['a'])
    expect(await found({}, { sort: '-age' })).toEqual(['c', 'a', 'b'])
    expect(await found({}, { sort: 'age', limit: 1 })).toEqual(['b'])
    expect(await run({ operation: 'query', table: 'searched', filter: { name: 'Bob' } })).toEqual([
      { ...items.b, _key: 'b' },
    ])
    expect(await found({ "name' OR true --": 'x' })).toEqual([])
    expect(
      (await failure({ operation: 'query', table: 'searched', filter: { age: { $regex: 'x' } } })).message,
    ).toContain("'$regex'")
  })
})

describe('failure', () => {
  it('tells a wrong password without repeating it, and takes none from the environment', async () => {
    const error = await failure({ operation: 'list', password: 'wrong-password-1' })
    expect(error).toMatchObject({
      message: 'the database refused the user or password',
      code: 'login_refused',
      retryable: false,
    })
    vi.stubEnv('PGPASSWORD', connection.password)
    try {
      const { password: _, ...without } = connection
      await expect(outputOf(step, { ...without, operation: 'list' })).rejects.toMatchObject({ code: 'login_refused' })
    } finally {
      vi.unstubAllEnvs()
    }
  })

  it('tells a refused connection', async () => {
    const port = await closedPort()
    expect(await failure({ operation: 'list', port })).toMatchObject({
      message: `the database 127.0.0.1:${port} refused the connection`,
      code: 'connection_failed',
      retryable: true,
    })
  })

  it('does not reach what the guard refuses', async () => {
    const guarded = postgres({ outbound: new GuardedOutbound() })
    for (const host of ['127.0.0.1', 'localhost', '2130706433', '::ffff:127.0.0.1']) {
      await expect(outputOf(guarded, { ...connection, host, operation: 'list' })).rejects.toMatchObject({
        code: 'outbound_refused',
        retryable: false,
      })
    }
  })

  it('cancels a statement on the server when its time is over', async () => {
    const error = await failure({ operation: 'query', query: 'SELECT pg_sleep(60)', timeout: '300ms' })
    expect(error.code).toBe('timeout')
    await vi.waitFor(async () => expect(await sleepers('pg_sleep(60)')).toBe(0))
  })

  it('cancels a statement on the server when the step is stopped', async () => {
    const stopped = new AbortController()
    const failed = failure(
      { operation: 'query', query: 'SELECT pg_sleep(61)', timeout: 60 },
      { signal: stopped.signal },
    )
    await vi.waitFor(async () => expect(await sleepers('pg_sleep(61)')).toBe(1))
    stopped.abort()
    expect(await failed).toMatchObject({ code: 'aborted' })
    await vi.waitFor(async () => expect(await sleepers('pg_sleep(61)')).toBe(0))
  })

  it('ends when the server says nothing', async () => {
    const silent = await silentServer()
    try {
      expect(await failure({ operation: 'list', port: silent.port, timeout: '200ms' })).toMatchObject({
        message: `the database 127.0.0.1:${silent.port} did not answer within 200ms`,
        code: 'timeout',
      })
      await vi.waitFor(() => expect(silent.connections()).toBe(0))
    } finally {
      await silent.stop()
    }
  })

  it('stops reading a result without end', async () => {
    const query = "SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"
    expect(await failure({ operation: 'query', query })).toMatchObject({ code: 'too_large', retryable: false })
  })
})

describe('a step that is to take effect exactly once', () => {
  const once = (params: JsonObject, attempt = 1, id = 'run_once') =>
    run({ exactly_once: true, ...params }, { attempt, run: { id } })
  const visits = async () => (await admin.query('SELECT count(*)::int AS n FROM visit')).rows[0].n
  const visit = { operation: 'execute', query: 'INSERT INTO visit (who) VALUES ($1) RETURNING id', args: ['ada'] }

  beforeAll(() => admin.query('CREATE TABLE visit (id serial PRIMARY KEY, who text NOT NULL)'))
  beforeEach(async () => {
    await admin.query('TRUNCATE visit')
    await admin.query('DROP TABLE IF EXISTS millrace_outcome')
  })

  it('answers the stored output when it is repeated, and does nothing again', async () => {
    const first = await once(visit)
    expect(await once(visit, 2)).toEqual(first)
    expect(await once(visit, 1)).toEqual(first)
    expect(await visits()).toBe(1)
    await once(visit, 1, 'run_other')
    expect(await visits()).toBe(2)
    const { rows } = await admin.query('SELECT key, output FROM millrace_outcome ORDER BY key')
    expect(rows).toEqual([
      { key: 'run_once:node', output: JSON.stringify(first) },
      { key: 'run_other:node', output: expect.any(String) },
    ])
  })

  it('leaves neither effect nor mark when it fails', async () => {
    const failing = {
      operation: 'transaction',
      statements: [{ query: "INSERT INTO visit (who) VALUES ('x')" }, { query: 'SELECT 1 / 0' }],
    }
    expect(await failureOf(once(failing))).toMatchObject({ code: 'sql_error' })
    expect(await visits()).toBe(0)
    expect(await once({ ...failing, statements: failing.statements.slice(0, 1) })).toEqual({
      results: [{ rows_affected: 1 }],
    })
    expect(await visits()).toBe(1)
  })

  it.each<[string, JsonObject, JsonObject]>([
    ['set', { key: 'k', value: { a: 1 }, table: 'fresh_set' }, { a: 1 }],
    ['delete', { key: 'k', table: 'fresh_delete' }, { deleted: false, key: 'k' }],
    ['batch_insert', { table: 'visit', items: [{ who: 'a' }, { who: 'b' }] }, { rows_affected: 2 }],
  ])('may be any operation: %s, on a table that does not exist too', async (operation, params, output) => {
    const answers = await Promise.all([1, 2, 3].map((attempt) => once({ operation, ...params }, attempt)))
    expect(answers).toEqual([output, output, output])
    expect(await visits()).toBe(operation === 'batch_insert' ? 2 : 0)
  })

  it('is waited for by a repetition while it is under way', async () => {
    const slow = { operation: 'query', query: 'INSERT INTO visit (who) SELECT pg_sleep(0.3)::text RETURNING id' }
    const [first, second] = await Promise.all([once(slow), once(slow, 2)])
    expect(second).toEqual(first)
    expect(await visits()).toBe(1)
  })

  it('is looked for when the connection breaks, at whatever moment', async () => {
    const breaking = {
      operation: 'query',
      query: `WITH done AS (INSERT INTO visit (who) VALUES ('x') RETURNING id)
        SELECT id, pg_advisory_xact_lock(4711)::text AS locked FROM done`,
    }
    await admin.query('SELECT pg_advisory_lock(4711)')
    const answer = once(breaking)
    await vi.waitFor(async () => expect(await sleepers('pg_advisory_xact_lock(4711)')).toBe(1))
    await admin.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace' AND query LIKE '%pg_advisory_xact_lock(4711)%'",
    )
    await admin.query('SELECT pg_advisory_unlock(4711)')
    expect(await answer).toEqual([{ id: expect.any(Number), locked: '' }])
    expect(await visits()).toBe(1)
    expect(await once(breaking, 2)).toEqual(await answer)
  })

  it('refuses statements that end the transaction, before and after a crash', async () => {
    const commit = { operation: 'query', query: 'COMMIT' }
    expect(await failureOf(once(commit))).toMatchObject({ code: 'transaction_ended', retryable: false })
    expect(await failureOf(once(commit, 2))).toMatchObject({ code: 'transaction_ended', retryable: false })
    expect(await failureOf(once({ operation: 'query', query: 'ROLLBACK' }, 1, 'run_rollback'))).toMatchObject({
      code: 'transaction_ended',
    })
  })
})

describe('encryption', () => {
  it('is asked for, and refused by a server that has none', async () => {
    expect((await failure({ operation: 'list', ssl: true })).message).toContain('does not support SSL')
  })

  it('holds the certificate to the host as written', async () => {
    const certificate = testCertificate(['localhost'])
    const front = await postgresBehindTls(connection, certificate)
    try {
      const secure = { operation: 'query', query: 'SELECT 1 AS one', port: front.port }
      expect(await run({ ...secure, host: 'localhost', ssl: { ca: certificate.cert } })).toEqual([{ one: 1 }])
      expect(await run({ ...secure, ssl: true })).toEqual([{ one: 1 }])
      expect(front.encrypted()).toBe(2)
      const untrusted = { code: 'untrusted_certificate' }
      expect(await failure({ ...secure, ssl: { ca: certificate.cert } })).toMatchObject(untrusted)
      expect(await failure({ ...secure, host: 'localhost', ssl: { ca: testCertificate().cert } })).toMatchObject(
        untrusted,
      )
      expect(await failure({ ...secure, host: 'localhost', ssl: { reject_unauthorized: true } })).toMatchObject(
        untrusted,
      )
    } finally {
      await front.stop()
    }
  })
})

async function sleepers(text: string): Promise<number> {
  const { rowCount } = await admin.query(
    "SELECT FROM pg_stat_activity WHERE application_name = 'millrace' AND state = 'active' AND query LIKE $1",
    [`%${text}%`],
  )
  return rowCount ?? 0
}
