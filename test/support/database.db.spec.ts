import { afterAll, beforeAll, expect, it } from 'vitest'
import { migrations } from '../../src/migrations/index.js'
import { type TestDatabase, testDatabase } from './database.js'

let one: TestDatabase
let other: TestDatabase

beforeAll(async () => {
  ;[one, other] = await Promise.all([testDatabase(), testDatabase()])
})

afterAll(async () => {
  await Promise.all([one.drop(), other.drop()])
})

it('gives each caller a database of its own', async () => {
  await one.dataSource.query('create table mine (id int)')
  const find = "select to_regclass('mine') as found"
  expect(await one.sql.query({ name: 'find-mine', text: find })).toEqual([{ found: 'mine' }])
  expect(await other.sql.query({ name: 'find-mine', text: find })).toEqual([{ found: null }])
})

it('copies a schema in which every migration has run', async () => {
  expect(await one.dataSource.showMigrations()).toBe(false)
  const [{ count }] = await one.dataSource.query('select count(*)::int as count from migrations')
  expect(count).toBe(migrations.length)
})

it('is gone once dropped, also while somebody is connected', async () => {
  const gone = await testDatabase()
  const guest = gone.sql.client()
  guest.on('error', () => {})
  await guest.connect()
  await gone.drop()
  const name = new URL(gone.url).pathname.slice(1)
  expect(await one.dataSource.query('select 1 from pg_database where datname = $1', [name])).toEqual([])
})
