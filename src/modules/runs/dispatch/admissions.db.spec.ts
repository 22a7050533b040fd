import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { systemClock } from '../../../platform/clock/clock.js'
import type { Statement } from '../../../platform/database/sql.js'
import { Admissions } from './admissions.js'
import { queueBacklog, queueRuns } from './queued-runs.fake.js'

let database: TestDatabase
const opened: Admissions[] = []

beforeAll(async () => {
  database = await testDatabase()
})

afterEach(async () => {
  await Promise.all(opened.splice(0).map((admissions) => admissions.stop()))
  await database.dataSource.query('delete from run')
})

afterAll(() => database.drop())

describe('a key with a limit', () => {
  it('lets in as many as its limit says, by priority, then in the order of their making', async () => {
    const ids = await queueRuns(database.dataSource, [
      { key: 'k', limit: 3 },
      { key: 'k', limit: 3, priority: 5 },
      { key: 'k', limit: 3 },
      { key: 'k', limit: 3, priority: -5 },
      { key: 'k', limit: 3 },
    ])
    await admit('k')
    expect(await admitted()).toEqual([ids[0], ids[1], ids[2]].sort())
    await admit('k')
    expect(await admitted()).toHaveLength(3)
  })

  it('lets the next in when one has ended, or is parked on a wait', async () => {
    const ids = await queueRuns(database.dataSource, [{ key: 'k' }, { key: 'k' }, { key: 'k' }])
    await admit('k')
    expect(await admitted()).toEqual([ids[0]])
    await database.dataSource.query(`update run set state = 'waiting', wake_at = null where id = $1`, [ids[0]])
    await admit('k')
    expect(await admitted()).toEqual([ids[1]])
    await database.dataSource.query(`update run set state = 'completed', wake_at = null where id = $1`, [ids[1]])
    await admit('k')
    expect(await admitted()).toEqual([ids[2]])
  })

  it('is full as long as its runs belong to a process that is gone, and no longer', async () => {
    const [running, held] = await queueRuns(database.dataSource, [
      { key: 'k', state: 'running', owner: 'engine_gone' },
      { key: 'k' },
    ])
    await admit('k')
    expect(await admitted()).toEqual([])
    // The takeover puts it back; it keeps its slot.
    await database.dataSource.query(`update run set state = 'queued', owner = null, wake_at = now() where id = $1`, [
      running,
    ])
    await admit('k')
    expect(await admitted()).toEqual([running])
    await database.dataSource.query(`update run set state = 'failed', wake_at = null where id = $1`, [running])
    await admit('k')
    expect(await admitted()).toEqual([held])
  })

  it('follows the limit of the run whose turn it is', async () => {
    await queueRuns(database.dataSource, [
      { key: 'k', limit: 2 },
      ...Array.from({ length: 5 }, () => ({ key: 'k', limit: 4 })),
    ])
    await admit('k')
    expect(await admitted()).toHaveLength(2)
    await admit('k')
    expect(await admitted()).toHaveLength(4)
  })

  it('is seen to by a sweep, whoever freed its slots', async () => {
    await queueRuns(database.dataSource, [
      { key: 'a' },
      { key: 'b' },
      { key: 'b' },
      { key: 'c', state: 'running' },
      { key: 'c' },
    ])
    const told: string[] = []
    open((tags) => told.push(...tags))
    await vi.waitUntil(async () => (await admitted()).length === 2)
    // It is told once its statement is answered, which the look at the table may come before.
    await vi.waitUntil(() => told.includes('default'))
    await database.dataSource.query(
      `update run set state = 'cancelled', wake_at = null where concurrency_key = 'c' and state = 'running'`,
    )
    await vi.waitUntil(async () => (await admitted()).length === 3)
  })
})

it('lets nobody in beyond a limit, over many keys and processes at once, and nobody waits for ever', async () => {
  const KEYS = 20
  const EACH = 30
  const LIMIT = 3
  const runs = Array.from({ length: KEYS * EACH }, (_, n) => ({ key: `k${n % KEYS}`, limit: LIMIT, priority: n % 3 }))
  await queueRuns(database.dataSource, runs)
  const four = Array.from({ length: 4 }, () => open())
  let most = 0
  const ends = async () => {
    const [{ now, left }] = await database.dataSource.query(
      `select (select coalesce(max(taken), 0)::int from (select count(*) as taken from run
          where state in ('queued', 'running') and wake_at is not null group by concurrency_key) as t) as now,
        (select count(*)::int from run where state = 'queued') as left`,
    )
    most = Math.max(most, now)
    // Some end in each process, with a flush's locks: those of several runs of several keys.
    const [ended] = await database.dataSource.query(
      `update run set state = 'completed', wake_at = null where id in (
        select id from run where state = 'queued' and wake_at is not null order by random() limit 17 for update skip locked)
        returning concurrency_key as key`,
    )
    for (const { key } of ended) four[Math.floor(Math.random() * 4)]?.ask({ accountId: 'account_a', key })
    return left
  }
  for (const admissions of four)
    for (let key = 0; key < KEYS; key++) admissions.ask({ accountId: 'account_a', key: `k${key}` })
  await vi.waitUntil(async () => (await Promise.all([ends(), ends(), ends(), ends()])).every((left) => left === 0), {
    timeout: 20_000,
    interval: 1,
  })
  expect(most).toBeLessThanOrEqual(LIMIT)
  expect(most).toBe(LIMIT)
}, 60_000)

it('costs the same with a backlog of 50,000 runs of a key or of another tag', async () => {
  await queueBacklog(database.dataSource, 50_000)
  const [held] = await queueRuns(database.dataSource, [{ key: 'other' }, { key: 'other' }])
  const reads = await rowsRead(async (query) => {
    await query(`select * from run_admit(array['account_a', 'account_a'], array['other', 'backlog'], now())`)
  })
  expect(await admitted("and tag = 'default'")).toContain(held)
  expect(reads).toBeLessThan(100)
  const swept = await rowsRead(async (query) => {
    const sql = { query: async <T>({ text }: Statement, values: unknown[] = []) => (await query(text, values)) as T[] }
    const admissions = new Admissions({ sql, clock: systemClock, onAdmitted() {}, onError() {} })
    await admissions.sweep()
    await admissions.stop()
  })
  expect(swept).toBeGreaterThan(0)
  expect(swept).toBeLessThan(100)
}, 60_000)

function open(onAdmitted: (tags: ReadonlySet<string>) => void = () => {}): Admissions {
  const admissions = new Admissions({
    sql: database.sql,
    clock: systemClock,
    onAdmitted,
    onError: (error) => {
      throw error
    },
  })
  opened.push(admissions)
  return admissions
}

async function admit(key: string): Promise<void> {
  await database.dataSource.query(`select * from run_admit(array['account_a'], array[$1], now())`, [key])
}

async function admitted(where = ''): Promise<string[]> {
  const rows = await database.dataSource.query(
    `select id from run where state = 'queued' and wake_at is not null and concurrency_key is not null ${where} order by id`,
  )
  return rows.map(({ id }: { id: string }) => id)
}

/** Rows of the table of runs that a transaction reads, by scans or by indexes. */
async function rowsRead(
  work: (query: (text: string, values?: unknown[]) => Promise<unknown>) => Promise<void>,
): Promise<number> {
  return await database.dataSource.transaction(async (tx) => {
    await work((text, values) => tx.query(text, values))
    const [{ rows }] = await tx.query(
      `select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as rows from pg_stat_xact_user_tables where relname = 'run'`,
    )
    return rows
  })
}
