import { afterAll, beforeAll, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'

let database: TestDatabase

beforeAll(async () => {
  database = await testDatabase()
  await database.dataSource.query('create table counted (n int primary key)')
})

afterAll(() => database.drop())

const ADD = { name: 'add', text: 'insert into counted values ($1)' }
const COUNT = { name: 'count', text: 'select count(*)::int as n from counted' }

it('prepares a statement once per connection', async () => {
  const prepared = await database.sql.transaction(async (tx) => {
    await tx.query(COUNT)
    await tx.query(COUNT)
    return tx.query<{ name: string; uses: number }>({
      name: 'prepared',
      text: `select name, (generic_plans + custom_plans)::int as uses from pg_prepared_statements where name = 'count'`,
    })
  })
  expect(prepared).toEqual([{ name: 'count', uses: 2 }])
})

it('looks along an index, however small the table is while it plans', async () => {
  await database.dataSource.query(
    'create table small (n int primary key); insert into small values (1), (2); analyze small',
  )
  const explain = 'explain select n from small where n = 1'
  expect(JSON.stringify(await database.dataSource.query(explain))).toContain('Seq Scan on small')
  expect(JSON.stringify(await database.sql.query({ name: 'explain', text: explain }))).toContain('Index Only Scan')
})

it('commits a transaction as a whole', async () => {
  await database.sql.transaction(async (tx) => {
    await tx.query(ADD, [1])
    await tx.query(ADD, [2])
  })
  expect(await database.sql.query(COUNT)).toEqual([{ n: 2 }])
})

it('takes back all of a transaction that throws, and lends its connection again', async () => {
  const failing = database.sql.transaction(async (tx) => {
    await tx.query(ADD, [3])
    await tx.query(ADD, [3])
  })
  await expect(failing).rejects.toThrow(/duplicate key/)
  expect(await database.sql.query(COUNT)).toEqual([{ n: 2 }])
})

it('replaces connections that were cut', async () => {
  const [{ pid } = { pid: 0 }] = await database.sql.query<{ pid: number }>({
    name: 'pid',
    text: 'select pg_backend_pid() as pid',
  })
  await database.dataSource.query('select pg_terminate_backend($1, 5000)', [pid])
  expect(await database.sql.query(COUNT).catch(() => database.sql.query(COUNT))).toEqual([{ n: 2 }])
})

it('gives a connection of its own to what lasts', async () => {
  const client = database.sql.client('listener')
  await client.connect()
  const { rows } = await client.query('show application_name')
  expect(rows).toEqual([{ application_name: 'listener' }])
  await client.end()
})
