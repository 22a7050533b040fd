import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { idsSince, newId } from '../../../platform/ids.js'
import { AccountRuns, type FoundRun } from './account-runs.js'

let database: TestDatabase
const instances: AccountRuns[] = []

beforeAll(async () => {
  database = await testDatabase()
})

afterEach(() => {
  for (const runs of instances.splice(0)) runs.onApplicationShutdown()
})

afterAll(() => database.drop())

function accountRuns(): AccountRuns {
  const runs = new AccountRuns(database.sql)
  instances.push(runs)
  return runs
}

async function insert(
  accountId: string,
  run: { id?: string; state?: string; finishedAt?: Date } = {},
): Promise<string> {
  const { id = newId('run'), state = 'running', finishedAt = null } = run
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, created_at, finished_at)
      values ($1, 'default', $2, 'flow_1', 1, $3, 'api', '{}', now(), $4)`,
    [id, accountId, state, finishedAt],
  )
  return id
}

/** An id as it would have been made so long ago. */
const idFrom = (ms: number) => `${idsSince('run', Date.now() - ms)}${newId('run').slice(-16)}`
const ids = (runs: readonly FoundRun[]) => runs.map(({ id }) => id)

it('new runs of an account are found once, in whatever state, also when they were long in coming; others are not', async () => {
  const before = [await insert('account_new'), await insert('account_new', { id: idFrom(60_000) })]
  const [one, other]: [FoundRun[], FoundRun[]] = [[], []]
  const [runs, elsewhere] = [accountRuns(), accountRuns()]
  await runs.watch('account_new', (run) => one.push(run))
  await elsewhere.watch('account_new', (run) => other.push(run))
  const now = [await insert('account_new'), await insert('account_new', { state: 'failed', finishedAt: new Date() })]
  const late = await insert('account_new', { id: idFrom(10_000) })
  await insert('account_foreign')
  for (const found of [one, other]) {
    await vi.waitUntil(() => found.length === 3, { timeout: 10_000, interval: 20 })
    expect(ids(found).sort()).toEqual([late, ...now].sort())
  }
  expect(one[0]).toMatchObject({ flowId: 'flow_1', revision: 1, createdAt: expect.any(Date) })
  expect(ids(one)).not.toContain(before[0])
})

it('who leaves is told nothing more, and nobody looks any more', async () => {
  const runs = accountRuns()
  const found: FoundRun[] = []
  const leave = await runs.watch('account_leave', (run) => found.push(run))
  const leaveToo = await runs.watch('account_leave', () => {})
  leave()
  leaveToo()
  await insert('account_leave')
  const [query, stay]: [ReturnType<typeof vi.spyOn>, FoundRun[]] = [vi.spyOn(database.sql, 'query'), []]
  await runs.watch('account_other', (run) => stay.push(run))
  const id = await insert('account_other')
  await vi.waitUntil(() => stay.length === 1, { timeout: 10_000, interval: 20 })
  expect(ids(stay)).toEqual([id])
  expect(found).toEqual([])
  expect(JSON.stringify(query.mock.calls)).not.toContain('account_leave')
  query.mockRestore()
})

it('runs since a moment are those that are under way, and those that have ended since', async () => {
  const account = 'account_since'
  const since = new Date(Date.now() - 5_000)
  const live = await insert(account, { id: idFrom(3_600_000), state: 'waiting' })
  const ended = await insert(account, { id: idFrom(60_000), state: 'completed', finishedAt: new Date() })
  await insert(account, { id: idFrom(60_000), state: 'completed', finishedAt: new Date(Date.now() - 30_000) })
  const runs = accountRuns()
  expect(ids(await runs.since(account, since)).sort()).toEqual([live, ended].sort())
  expect(ids(await runs.named(account, [live, 'run_none']))).toEqual([live])
  expect(await runs.named('account_foreign', [live])).toEqual([])
})
