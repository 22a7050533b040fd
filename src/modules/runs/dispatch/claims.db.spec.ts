import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import type { Statement } from '../../../platform/database/sql.js'
import { newId } from '../../../platform/ids.js'
import type { Writer } from '../journal/records.js'
import { type Claim, claimDueRuns, waitingAccounts } from '../worker/taken-run.js'
import { type QueuedRun, queueBacklog, queueFlood, queueRuns } from './queued-runs.fake.js'

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
    expect(await claimed({ quotas: of(1) })).toEqual([high])
    expect(await claimed({ quotas: of(1) })).toEqual([early])
    expect(await claimed({ quotas: of(1) })).toEqual([late])
    expect(await claimed({ quotas: of(1) })).toEqual([low])
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
    expect(await waitingAccounts(database.sql, ['default'], '', new Date())).toEqual({
      accounts: ['account_a'],
      woken: 2,
    })
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
      expect((await claimDueRuns({ query } as never, owner, claim({}))).map(({ id }) => high.includes(id))).toEqual(
        Array.from({ length: 10 }, () => true),
      )
      await waitingAccounts({ query } as never, ['default'], '', new Date())
      await claimDueRuns({ query } as never, owner, claim({ told: [{ runId: behind[0] as string, epoch: 0 }] }))
      await claimDueRuns({ query } as never, owner, claim({ fresh: false }))
      await tx.query(`select * from run_dispatch(now(), now(), 10, '')`)
      const [{ rows }] = await tx.query(
        `select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as rows from pg_stat_xact_user_tables where relname = 'run'`,
      )
      return rows
    })
    expect(reads).toBeGreaterThan(0)
    expect(reads).toBeLessThan(200)
  }, 60_000)
})

describe('whose turn it is', () => {
  it('is told from account to account, from the last one on and round to it', async () => {
    await queue(['c', 'a', 'b', 'b', 'd'].map((account) => ({ account })))
    await queue([
      { account: 'e', tag: 'gpu' },
      { account: 'f', key: 'k' },
      { account: 'g', stalls: 2 },
    ])
    const waitingAfter = async (last: string, tags = ['default']) =>
      (await waitingAccounts(database.sql, tags, last, new Date())).accounts
    expect(await waitingAfter('')).toEqual(['a', 'b', 'c', 'd'])
    expect(await waitingAfter('b')).toEqual(['c', 'd', 'a', 'b'])
    expect(await waitingAfter('z')).toEqual(['a', 'b', 'c', 'd'])
    expect(await waitingAfter('b', ['gpu', 'nobody'])).toEqual(['e'])
  })

  it('is told of a hundred accounts at a time, so that the others come next', async () => {
    await queue(Array.from({ length: 250 }, (_, n) => ({ account: `account_${String(n).padStart(3, '0')}` })))
    const first = (await waitingAccounts(database.sql, ['default'], '', new Date())).accounts
    const next = (await waitingAccounts(database.sql, ['default'], first.at(-1) ?? '', new Date())).accounts
    const last = (await waitingAccounts(database.sql, ['default'], next.at(-1) ?? '', new Date())).accounts
    expect(new Set([...first, ...next, ...last])).toHaveLength(250)
  })

  it('is told by one descent of the index for each account, whatever waits: 200,000 runs of one, and ten of another', async () => {
    await queueFlood(database.dataSource, 'account_a', 200_000)
    const light = await queue(Array.from({ length: 10 }, () => ({ account: 'account_b' })))
    await database.dataSource.transaction(async (tx) => {
      const query = async ({ text }: Statement, values: unknown[] = []) => await tx.query(text, values)
      const { accounts } = await waitingAccounts({ query } as never, ['default'], '', new Date())
      expect(accounts).toEqual(['account_a', 'account_b'])
      const quotas = accounts.map((account) => ({ account, quota: 5 }))
      const runs = await claimDueRuns({ query } as never, owner, claim({ quotas }))
      expect(runs.filter(({ id }) => light.includes(id))).toHaveLength(5)
      expect(runs).toHaveLength(10)
      const [{ rows, scans }] = await tx.query(
        `select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as rows, seq_scan::int as scans
          from pg_stat_xact_user_tables where relname = 'run'`,
      )
      expect(scans).toBe(0)
      expect(rows).toBeLessThan(60)
    })
  }, 60_000)

  it('is no reason to take more of an account than its quota, over several tags together', async () => {
    const [low, high] = await queue([{}, { tag: 'gpu', priority: 3 }, { account: 'account_b' }])
    expect(await claimed({ tags: ['default', 'gpu'], quotas: of(1) })).toEqual([high])
    expect(await claimed({ tags: ['default', 'gpu'], quotas: of(5) })).toEqual([low])
  })

  it('holds for what is late in a queue as well', async () => {
    await queue(Array.from({ length: 5 }, () => ({ dispatchedAt: AGO(9_000) })))
    const [other] = await queue([{ account: 'account_b', dispatchedAt: AGO(9_000) }])
    const quotas = [...of(2), { account: 'account_b', quota: 2 }]
    const taken = await claimed({ quotas, fresh: false, lateBefore: AGO(5_000) })
    expect(taken).toHaveLength(3)
    expect(taken).toContain(other)
  })
})

describe('who was told of runs by a queue', () => {
  it('takes those whose turn it is, whatever their hand-over', async () => {
    const [later, due] = await queue([{ dispatchedAt: new Date() }, { dispatchedAt: new Date(), wakeAt: AGO(5_000) }])
    const told = [{ runId: later as string, epoch: 0 }]
    expect(await claimed({ quotas: of(1), told })).toEqual([due])
    expect(await stored(due)).toMatchObject({ state: 'running', dispatched_at: null, owner: owner.id, epoch: 1 })
    // The other is told of by the hand-over of the first.
    expect(await stored(later)).toMatchObject({ state: 'queued', epoch: 0, dispatched_at: expect.any(Date) })
  })

  it('gives back what it was told of for what no queue was told of, once and no more', async () => {
    const [one, two, three] = await queue(Array.from({ length: 3 }, () => ({ dispatchedAt: new Date() })))
    const [urgent] = await queue([{ account: 'account_b', priority: 50 }])
    const told = [one, two, 'run_gone'].map((runId) => ({ runId: runId as string, epoch: 0 }))
    const quotas = [...of(1), { account: 'account_b', quota: 1 }]
    expect(await claimed({ quotas, told })).toEqual([one, urgent].sort())
    expect(await stored(two)).toMatchObject({ state: 'queued', epoch: 1, dispatched_at: null })
    expect(await stored(three)).toMatchObject({ state: 'queued', epoch: 0, dispatched_at: expect.any(Date) })
  })

  it('gives nothing back of which it was told under an earlier epoch', async () => {
    const [again] = await queue([{ dispatchedAt: new Date(), epoch: 3 }])
    const [other] = await queue([{ account: 'account_b' }])
    const told = [{ runId: again as string, epoch: 2 }]
    expect(await claimed({ quotas: [{ account: 'account_b', quota: 1 }], told })).toEqual([other])
    expect(await stored(again)).toMatchObject({ epoch: 3, dispatched_at: expect.any(Date) })
  })

  it('takes nothing once it was declared lost', async () => {
    const [runId] = await queue([{}])
    await database.dataSource.query('update engine_instance set lost_at = now()')
    expect(await claimed({ told: [{ runId: runId as string, epoch: 0 }] })).toEqual([])
  })
})

describe('what is handed over', () => {
  it('is as much as those who take it have places for, by priority', async () => {
    await instance(['default'], 2)
    await instance(['default', 'gpu'], 1)
    const ordinary = await queue(Array.from({ length: 9 }, () => ({})))
    expect(await dispatched()).toEqual(ordinary.slice(0, 3))
    const urgent = await queue(Array.from({ length: 9 }, () => ({ priority: 10 })))
    expect(await dispatched()).toEqual([])
    // One was taken: there is a place again.
    await database.dataSource.query(`update run set state = 'running', dispatched_at = null where id = $1`, [
      ordinary[0],
    ])
    expect(await dispatched()).toEqual([urgent[0]])
  })

  it('is of each account in its turn, and of whoever has more where others have less', async () => {
    await instance(['default'], 6)
    const many = await queue(Array.from({ length: 9 }, () => ({})))
    const few = await queue(Array.from({ length: 2 }, () => ({ account: 'account_b' })))
    expect(await dispatched()).toEqual([...many.slice(0, 4), ...few])
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
  return { quotas: of(10), now: new Date(), tags: ['default'], suspects: 1, lateBefore: NEVER, fresh: true, ...members }
}

function of(quota: number): Claim['quotas'] {
  return [{ account: 'account_a', quota }]
}

async function claimed(members: Partial<Claim>): Promise<string[]> {
  return (await claimDueRuns(database.sql, owner, claim(members))).map(({ id }) => id).sort()
}

async function stored(id?: string) {
  const [row] = await database.dataSource.query('select state, owner, epoch, dispatched_at from run where id = $1', [
    id,
  ])
  return row
}

async function dispatched(lostBefore = AGO(15_000)): Promise<string[]> {
  const rows = await database.dataSource.query(`select run_id from run_dispatch(now(), $1, 500, '') order by run_id`, [
    lostBefore,
  ])
  return rows.map(({ run_id }: { run_id: string }) => run_id)
}
