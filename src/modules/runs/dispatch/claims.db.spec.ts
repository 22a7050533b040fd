import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import type { Statement } from '../../../platform/database/sql.js'
import { newId } from '../../../platform/ids.js'
import type { Writer } from '../journal/records.js'
import { type Claim, claimDueRuns, claimHandedRuns } from '../worker/taken-run.js'
import { type QueuedRun, queueBacklog, queueRuns } from './queued-runs.fake.js'

const NEVER = new Date('9999-12-31T00:00:00Z')
const AGO = (ms: number) => new Date(Date.now() - ms)

let database: TestDatabase
let owner: Writer

beforeAll(async () => {
  database = await testDatabase()
})

beforeEach(async () => {
  owner = await instance()
})

afterEach(async () => {
  await database.dataSource.query('delete from run')
  await database.dataSource.query('delete from engine_instance')
})

afterAll(() => database.drop())

describe('a claim', () => {
  it('takes by priority, then what has been due for longest', async () => {
    const [late, early, high, low] = await queue([
      { wakeAt: AGO(1_000) },
      { wakeAt: AGO(2_000) },
      { wakeAt: AGO(10), priority: 1 },
      { wakeAt: AGO(9_000), priority: -1 },
    ])
    expect(await claimed({ limit: 1 })).toEqual([high])
    expect(await claimed({ limit: 1 })).toEqual([early])
    expect(await claimed({ limit: 1 })).toEqual([late])
    expect(await claimed({ limit: 1 })).toEqual([low])
  })

  it('leaves alone what is for others, not due, or held back', async () => {
    const [mine, gpu] = await queue([{}, { tag: 'gpu' }, { wakeAt: new Date(Date.now() + 60_000) }, { key: 'k' }])
    expect(await claimed({})).toEqual([mine])
    expect(await claimed({ tags: ['gpu', 'default'] })).toEqual([gpu])
  })

  it('wakes what was parked and is due by then', async () => {
    const [due] = await queue([
      { state: 'waiting', wakeAt: AGO(1) },
      { state: 'waiting', key: 'k', wakeAt: AGO(1) },
    ])
    expect(await claimed({})).toEqual([due])
    const held = await database.dataSource.query(`select state, wake_at from run where concurrency_key = 'k'`)
    expect(held).toEqual([{ state: 'queued', wake_at: null }])
  })

  it('takes a suspect only where it is asked to', async () => {
    const [one, two] = await queue([
      { stalls: 2, wakeAt: AGO(2) },
      { stalls: 2, wakeAt: AGO(1) },
    ])
    expect(await claimed({ suspects: 0 })).toEqual([])
    const [suspect] = await claimDueRuns(database.sql, owner, claim({}))
    expect(suspect).toMatchObject({ id: one, suspect: true })
    expect(await claimed({})).toEqual([two])
  })

  it('leaves what was handed over to those who take from queues, until it is late', async () => {
    const [id] = await queue([{ dispatchedAt: AGO(3_000) }])
    expect(await claimed({ lateBefore: AGO(5_000) })).toEqual([])
    expect(await claimed({ lateBefore: AGO(2_000) })).toEqual([id])
  })

  it('leaves to the queue what was not handed over yet, where it is asked to', async () => {
    const [, late] = await queue([{}, { dispatchedAt: AGO(3_000) }, { dispatchedAt: AGO(1_000) }])
    expect(await claimed({ fresh: false, lateBefore: AGO(2_000) })).toEqual([late])
  })

  it('reads no more rows for a backlog of 50,000 of another tag, held back, or behind it', async () => {
    await queueBacklog(database.dataSource, 50_000)
    const high = await queue(Array.from({ length: 20 }, () => ({ priority: 1 })))
    const behind = await queue(Array.from({ length: 5_000 }, () => ({})))
    await database.dataSource.query('analyze run')
    const reads = await database.dataSource.transaction(async (tx) => {
      const query = async ({ text }: Statement, values: unknown[] = []) => await tx.query(text, values)
      expect(
        (await claimDueRuns({ query } as never, owner, claim({ limit: 10 }))).map(({ id }) => high.includes(id)),
      ).toEqual(Array.from({ length: 10 }, () => true))
      await claimHandedRuns({ query } as never, owner, [{ runId: behind[0] as string, epoch: 0 }], new Date())
      await claimDueRuns({ query } as never, owner, claim({ fresh: false }))
      await tx.query('select * from run_dispatch(now(), now(), 10)')
      const [{ rows }] = await tx.query(
        `select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as rows from pg_stat_xact_user_tables where relname = 'run'`,
      )
      return rows
    })
    expect(reads).toBeGreaterThan(0)
    expect(reads).toBeLessThan(200)
  }, 60_000)
})

describe('runs that were handed over', () => {
  it('are taken when they are still due, and of the epoch that was told', async () => {
    const [due, later, held, foreign] = await queue([
      { dispatchedAt: new Date() },
      { epoch: 3 },
      { key: 'k' },
      { state: 'running', owner: 'engine_other' },
    ])
    const taken = await claimHandedRuns(
      database.sql,
      owner,
      [due, later, held, foreign, 'run_gone'].map((runId) => ({ runId: runId as string, epoch: 0 })),
      new Date(),
    )
    expect(taken.map(({ id, epoch }) => ({ id, epoch }))).toEqual([{ id: due, epoch: 1 }])
    const [row] = await database.dataSource.query('select dispatched_at, owner from run where id = $1', [due])
    expect(row).toEqual({ dispatched_at: null, owner: owner.id })
  })

  it('are not taken by a process that was declared lost', async () => {
    const [runId] = await queue([{}])
    await database.dataSource.query('update engine_instance set lost_at = now()')
    expect(await claimHandedRuns(database.sql, owner, [{ runId: runId as string, epoch: 0 }], new Date())).toEqual([])
  })
})

describe('what is handed over', () => {
  it('is as much as those who take it have places for, by priority, and as much again of what is urgent', async () => {
    await instance(['default'], 2)
    await instance(['default', 'gpu'], 1)
    const ordinary = await queue(Array.from({ length: 9 }, () => ({})))
    expect(await dispatched()).toEqual(ordinary.slice(0, 3))
    expect(await dispatched()).toEqual([])
    const urgent = await queue(Array.from({ length: 9 }, () => ({ priority: 10 })))
    expect(await dispatched()).toEqual(urgent.slice(0, 3))
    expect(await dispatched()).toEqual([])
    // One was taken: there is a place again.
    await database.dataSource.query(`update run set state = 'running', dispatched_at = null where id = $1`, [urgent[0]])
    expect(await dispatched()).toEqual([urgent[3]])
  })

  it('is nothing where nobody takes from queues, nor for a process that is lost', async () => {
    await queue([{}, { tag: 'gpu' }])
    expect(await dispatched()).toEqual([])
    const { id } = await instance(['gpu'], 5)
    await database.dataSource.query('update engine_instance set lost_at = now() where id = $1', [id])
    expect(await dispatched()).toEqual([])
  })

  it('is handed over again when the queue may have lost it', async () => {
    await instance(['default'], 5)
    const [id] = await queue([{}])
    expect(await dispatched(AGO(15_000))).toEqual([id])
    expect(await dispatched(AGO(15_000))).toEqual([])
    expect(await dispatched(new Date(Date.now() + 1_000))).toEqual([id])
  })

  it('is never a suspect: it shall not be beside another by chance', async () => {
    await instance(['default'], 5)
    await queue([{ stalls: 2 }])
    expect(await dispatched()).toEqual([])
  })
})

function queue(runs: readonly QueuedRun[]): Promise<string[]> {
  return queueRuns(database.dataSource, runs)
}

async function instance(tags: string[] = [], capacity = 0): Promise<Writer> {
  const [row] = await database.dataSource.query(
    `insert into engine_instance (id, host, pid, lease_until, tags, capacity)
      values ($1, 'test', 1, now() + interval '1 hour', $2, $3) returning id, fence`,
    [newId('engine'), tags, capacity],
  )
  return row
}

function claim(members: Partial<Claim>): Claim {
  return { limit: 10, now: new Date(), tags: ['default'], suspects: 1, lateBefore: NEVER, fresh: true, ...members }
}

async function claimed(members: Partial<Claim>): Promise<string[]> {
  return (await claimDueRuns(database.sql, owner, claim(members))).map(({ id }) => id)
}

async function dispatched(lostBefore = AGO(15_000)): Promise<string[]> {
  const rows = await database.dataSource.query('select run_id from run_dispatch(now(), $1, 500) order by run_id', [
    lostBefore,
  ])
  return rows.map(({ run_id }: { run_id: string }) => run_id)
}
