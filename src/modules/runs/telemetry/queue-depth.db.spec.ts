import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { newId } from '../../../platform/ids.js'
import { QueueDepths } from './queue-depth.js'

let database: TestDatabase

beforeAll(async () => {
  database = await testDatabase()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await database.dataSource.query('delete from run')
  await database.dataSource.query('delete from signal_wait')
})

afterAll(() => database.drop())

async function run(members: Record<string, unknown>): Promise<string> {
  const row = {
    id: newId('run'),
    tenant_id: 'default',
    account_id: 'account_a',
    flow_id: 'flow_f',
    revision: 1,
    trigger: 'api',
    input: '{}',
    created_at: new Date(),
    ...members,
  }
  const names = Object.keys(row)
  const places = names.map((_, index) => `$${index + 1}`)
  await database.dataSource.query(`insert into run (${names}) values (${places})`, Object.values(row))
  return row.id
}

const ago = (seconds: number) => new Date(Date.now() - seconds * 1000)

it('counts what waits by why it does, and how long the longest has been due', async () => {
  const began = performance.now()
  const clock = vi.spyOn(performance, 'now').mockReturnValue(began)
  const depths = new QueueDepths(database.sql)
  expect(await depths.now()).toEqual({
    queued: 0,
    running: 0,
    waiting: 0,
    handedOver: 0,
    held: 0,
    dead: 0,
    oldestSeconds: 0,
  })
  await run({ state: 'queued', wake_at: ago(5), dispatched_at: ago(5) })
  await run({ state: 'queued', wake_at: ago(90), stalls: 3 })
  await run({ state: 'queued', concurrency_key: 'k', concurrency_limit: 1 })
  await run({ state: 'running', owner: 'engine_1' })
  await run({ state: 'waiting', wake_at: ago(-600) })
  const signalled = await run({ state: 'waiting' })
  for (const path of ['one', 'another'])
    await database.dataSource.query(
      `insert into signal_wait (run_id, path, attempt, account_id, key, created_at) values ($1, $2, 1, 'account_a', 'k', now())`,
      [signalled, path],
    )
  await run({ state: 'failed', dead: true, finished_at: ago(1) })
  await run({ state: 'completed', finished_at: ago(1) })
  // What was asked a moment ago stands for a few seconds.
  clock.mockReturnValue(began + 5_000)
  expect((await depths.now()).queued).toBe(0)
  clock.mockReturnValue(began + 5_001)
  const depth = await depths.now()
  expect(depth).toMatchObject({ queued: 2, running: 1, waiting: 2, handedOver: 1, held: 1, dead: 1 })
  expect(depth.oldestSeconds).toBeGreaterThan(89)
  expect(depth.oldestSeconds).toBeLessThan(600)
})

it('says so when the database does not answer, and asks again', async () => {
  let away = true
  const sql = Object.create(database.sql, {
    transaction: {
      value: (work: Parameters<typeof database.sql.transaction>[0]) =>
        away ? Promise.reject(new Error('away')) : database.sql.transaction(work),
    },
  })
  const depths = new QueueDepths(sql)
  await run({ state: 'running', owner: 'engine_1' })
  await expect(depths.now()).rejects.toThrow('away')
  away = false
  expect((await depths.now()).running).toBe(1)
})
