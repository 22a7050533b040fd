import type { EventEmitter } from 'node:events'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { LOCKS } from '../../../platform/database/advisory-locks.js'
import { newId } from '../../../platform/ids.js'
import { claimDueRuns, ownedRunIds, retakeRuns, waitingAccounts } from '../worker/taken-run.js'
import { Ownership } from './ownership.js'
import { MOST_STALLS, Reaper } from './reaper.js'

let database: TestDatabase
const taken: Watched[] = []

interface Watched {
  ownership: Ownership
  /** Looks for lost processes once; resolves with how many runs went back to the queue. */
  reap(): Promise<number>
  lost: number
  errors: unknown[]
}

beforeAll(async () => {
  database = await testDatabase()
})

afterEach(async () => {
  await Promise.all(taken.splice(0).map(({ ownership }) => ownership.release()))
  await database.dataSource.query('delete from run')
  await database.dataSource.query('delete from engine_instance')
})

afterAll(() => database.drop())

describe('a process', () => {
  it('has a lease and a session lock, and leaves nothing behind when it goes', async () => {
    const began = performance.now()
    const { ownership } = await take()
    expect(await instances()).toMatchObject([{ id: ownership.writer.id, lost_at: null }])
    expect(await holdersOf(ownership.writer.fence)).toHaveLength(1)
    const [{ left }] = await database.dataSource.query(
      'select extract(epoch from lease_until - now())::float as left from engine_instance',
    )
    expect(left).toBeGreaterThan(15 - (performance.now() - began) / 1_000 - 0.1)
    expect(left).toBeLessThanOrEqual(15)
    await ownership.release()
    expect(await instances()).toEqual([])
  })

  it('keeps its row while it has runs that it did not hand back, so that others find them', async () => {
    const { ownership } = await take()
    const [id] = await runs(1, ownership.writer.id)
    await ownership.release()
    expect(await instances()).toHaveLength(1)
    const other = await take()
    await other.reap()
    expect(await stored(id)).toMatchObject({ state: 'queued', owner: null, epoch: 1, recoveries: 1 })
    expect(await instances()).toMatchObject([{ id: other.ownership.writer.id }])
  })

  it('is not taken for lost by others, nor by itself', async () => {
    const [one, other] = [await take(), await take()]
    await runs(3, one.ownership.writer.id)
    expect(await one.reap()).toBe(0)
    expect(await other.reap()).toBe(0)
    expect(await instances()).toHaveLength(2)
  })

  it('whose connection is cut takes its lock again when nobody noticed', async () => {
    const one = await take()
    const [before] = await holdersOf(one.ownership.writer.fence)
    await database.dataSource.query('select pg_terminate_backend($1)', [before])
    await vi.waitUntil(
      async () => {
        const [now] = await holdersOf(one.ownership.writer.fence)
        return now !== undefined && now !== before
      },
      { interval: 10 },
    )
    expect(one.errors).toHaveLength(1)
    expect(one.lost).toBe(0)
    const other = await take()
    expect(await other.reap()).toBe(0)
  })

  it('does not take a last word of its cut connection for one of the new', async () => {
    const one = await take()
    const { fence } = one.ownership.writer
    const cut = leaseClientOf(one.ownership)
    const [before] = await holdersOf(fence)
    await database.dataSource.query('select pg_terminate_backend($1)', [before])
    const again = await vi.waitUntil(
      () => {
        const now = leaseClientOf(one.ownership)
        return now !== cut && now
      },
      { interval: 10 },
    )
    // A session is seen for a moment after its client has heard that it is cut.
    await vi.waitUntil(async () => (await leaseConnections()) === 1)
    cut?.emit('error', new Error('Connection terminated unexpectedly'))
    expect(leaseClientOf(one.ownership)).toBe(again)
    expect(await waitersFor(fence)).toEqual([])
    expect(await leaseConnections()).toBe(1)
    expect(one).toMatchObject({ lost: 0, errors: [expect.anything()] })
  })

  it('that is released while its connection is away does not come back', async () => {
    const one = await take()
    const { fence } = one.ownership.writer
    const [before] = await holdersOf(fence)
    const inTheWay = database.sql.client()
    await inTheWay.connect()
    const has = inTheWay.query('select pg_advisory_lock($1, $2)', [LOCKS.alive, fence])
    await vi.waitUntil(async () => (await waitersFor(fence)).length === 1)
    await database.dataSource.query('select pg_terminate_backend($1)', [before])
    await has
    // Cut again while it waits for its lock, it comes once more.
    const [first] = await vi.waitUntil(() => waitersFor(fence).then((pids) => pids.length === 1 && pids))
    await database.dataSource.query('select pg_terminate_backend($1)', [first])
    await vi.waitUntil(async () => ![0, first].includes((await waitersFor(fence))[0] ?? 0))
    await one.ownership.release()
    await inTheWay.end()
    await vi.waitUntil(async () => (await leaseConnections()) === 0)
    expect(one).toMatchObject({ lost: 0, errors: [expect.anything()] })
  })

  it('whose connection is cut is told that it is lost when another had taken over meanwhile', async () => {
    const one = await take()
    const [id] = await runs(1, one.ownership.writer.id)
    const [pid] = await holdersOf(one.ownership.writer.fence)
    // In one transaction, so that it cannot come back in between.
    await database.dataSource.transaction(async (tx) => {
      await tx.query('update engine_instance set lost_at = now() where id = $1', [one.ownership.writer.id])
      await tx.query('select pg_terminate_backend($1)', [pid])
    })
    await vi.waitUntil(() => one.lost > 0)
    expect(one.lost).toBe(1)
    const other = await take()
    await other.reap()
    expect(await stored(id)).toMatchObject({ state: 'queued' })
    expect(await instances()).toMatchObject([{ id: other.ownership.writer.id }])
  })
})

describe('a process that is lost', () => {
  it.each([
    { how: 'killed: its lock is free', lose: (id: string) => gone(id, '1 hour') },
    { how: 'frozen: its lease ran out', lose: (id: string) => gone(id, '-1 second', 'locked') },
  ])('$how, loses its live runs to the queue and keeps those that ended', async ({ lose }) => {
    const lost = newId('engine')
    const release = await lose(lost)
    const live = await runs(1_200, lost)
    const [ended] = await runs(1, lost, 'completed')
    const other = await take()
    expect(await other.reap()).toBe(1_200)
    const [row] = await database.dataSource.query(
      `select count(*)::integer as count, min(epoch) as epoch, max(recoveries) as recoveries from run
        where id = any ($1) and state = 'queued' and owner is null and wake_at <= now()`,
      [live],
    )
    expect(row).toEqual({ count: 1_200, epoch: 1, recoveries: 1 })
    expect(await stored(ended)).toMatchObject({ state: 'completed', owner: lost })
    expect(await instances()).toMatchObject([{ id: other.ownership.writer.id }])
    await release?.()
  })

  it('loses each run once to many that reap at the same time', async () => {
    const lost = newId('engine')
    await gone(lost, '1 hour')
    const live = await runs(2_000, lost)
    const reapers = await Promise.all(Array.from({ length: 4 }, () => take()))
    const released = await Promise.all(reapers.map(({ reap }) => reap()))
    // Rows that one has locked are skipped by the others; together they have them all, each once.
    expect(released.reduce((sum, count) => sum + count, 0)).toBe(2_000)
    const rows = await database.dataSource.query(
      'select distinct epoch, recoveries, state from run where id = any ($1)',
      [live],
    )
    expect(rows).toEqual([{ epoch: 1, recoveries: 1, state: 'queued' }])
    await reapers[0]?.reap()
    expect(await instances()).toHaveLength(4)
  })

  it('is declared lost only after a write of its that is under way', async () => {
    const lost = newId('engine')
    await gone(lost, '1 hour')
    const [{ fence }] = await database.dataSource.query('select fence from engine_instance where id = $1', [lost])
    const other = await take()
    let reaping: Promise<number> | undefined
    await database.dataSource.transaction(async (tx) => {
      await tx.query('select pg_advisory_xact_lock_shared(7201, $1)', [fence])
      reaping = other.reap()
      await vi.waitUntil(async () => (await sessionsAt(fence, false, 7201)).length > 0)
      const [row] = await database.dataSource.query('select lost_at from engine_instance where id = $1', [lost])
      expect(row.lost_at).toBeNull()
    })
    await reaping
    expect(await instances()).toMatchObject([{ id: other.ownership.writer.id }])
  })

  it.each([
    { how: 'without any outcome', outcomes: 0 },
    { how: 'since the outcomes that it had when it was taken over first', outcomes: 3 },
  ])(
    'leaves a run in the queue until it was lost with it six times $how; then the run is a dead letter',
    async (run) => {
      const other = await take()
      const [poison, innocent] = await runs(2, null)
      for (let count = 0; count < run.outcomes; count++) await record(poison as string, `step${count}`)
      if (run.outcomes > 0) await loseWith(poison as string)
      if (run.outcomes > 0) expect(await stored(poison)).toMatchObject({ stalls: 0, progress: 3 })
      for (let count = 1; count <= MOST_STALLS; count++) {
        await record(innocent as string, `step${count}`)
        await loseWith(poison as string, innocent as string)
        expect(await stored(poison)).toMatchObject({ state: 'queued', stalls: count, dead: false })
        expect(await stored(innocent)).toMatchObject({ state: 'queued', stalls: 0, recoveries: count })
      }
      await database.dataSource.query(
        `insert into timer (run_id, path, attempt, ordinal, due_at) values ($1, 'a', 1, 1, now())`,
        [poison],
      )
      await loseWith(poison as string, innocent as string)
      expect(await stored(poison)).toMatchObject({ state: 'queued', stalls: 0 })
      for (let count = 1; count <= MOST_STALLS + 1; count++) await loseWith(poison as string)
      const dead = await stored(poison)
      expect(dead).toMatchObject({ state: 'failed', dead: true, wake_at: null, stalls: MOST_STALLS + 1 })
      expect(dead.error).toEqual({ code: 'dead_letter', message: expect.stringContaining('lost 6 times in a row') })
      expect(dead.finished_at).not.toBeNull()
      expect(await database.dataSource.query('select 1 from timer where run_id = $1', [poison])).toEqual([])
      const audited = await database.dataSource.query(
        'select tenant_id, action, outcome, actor_id, after from audit_entry where resource_id = $1',
        [poison],
      )
      expect(audited).toEqual([
        {
          tenant_id: 'default',
          action: 'run.dead_letter',
          outcome: 'failure',
          actor_id: null,
          after: { stalls: 6, recoveries: dead.recoveries },
        },
      ])
      expect(await stored(innocent)).toMatchObject({ state: 'queued' })

      async function loseWith(...ids: string[]) {
        const lost = newId('engine')
        await gone(lost, '1 hour')
        await database.dataSource.query(
          `update run set state = 'running', owner = $1, wake_at = null where id = any ($2)`,
          [lost, ids],
        )
        await other.reap()
      }
    },
  )

  it('claims nothing any more', async () => {
    const { ownership } = await take()
    await runs(5, null, 'queued')
    await database.dataSource.query('update engine_instance set lost_at = now()')
    expect(await claimDueRuns(database.sql, ownership.writer, claim(10))).toEqual([])
    const [mine] = await runs(1, ownership.writer.id)
    expect(await retakeRuns(database.sql, ownership.writer, [mine as string])).toEqual([])
    expect(await stored(mine)).toMatchObject({ epoch: 0 })
  })
})

describe('a process whose renewals are not confirmed', () => {
  const now = performance.now.bind(performance)

  afterEach(() => {
    vi.restoreAllMocks()
  })

  it('holds its runs until shortly before others may take them, and then gives up by itself', async () => {
    const taken = now()
    const clock = vi.spyOn(performance, 'now').mockReturnValue(taken)
    const { ownership, ...one } = await take()
    expect(ownership.holds).toBe(true)
    clock.mockReturnValue(taken + 13_999)
    expect(ownership.holds).toBe(true)
    clock.mockReturnValue(taken + 14_001)
    expect(ownership.holds).toBe(false)
    expect(ownership.leaseSeconds).toBeGreaterThan(0)
    expect(one.lost).toBe(0)
  })

  it('is over at its next renewal after it was frozen, though the database would renew it', async () => {
    const one = await take()
    vi.spyOn(performance, 'now').mockImplementation(() => now() + 20_000)
    await vi.waitUntil(() => one.lost === 1)
    expect(await instances()).toMatchObject([{ lost_at: null }])
    // Its connection and with it its lock are given up, and its row is left for others.
    await one.ownership.release()
    expect(await holdersOf(one.ownership.writer.fence)).toEqual([])
    expect(await instances()).toHaveLength(1)
  })
})

describe('due runs', () => {
  it('go to one process each, the oldest first', async () => {
    const ids = await runs(300, null, 'queued')
    const owners = await Promise.all(Array.from({ length: 4 }, () => take()))
    const claimed: string[] = []
    for (let more = true; more; ) {
      const batches = await Promise.all(
        owners.map(({ ownership }) => claimDueRuns(database.sql, ownership.writer, claim(20))),
      )
      claimed.push(...batches.flat().map(({ id }) => id))
      more = batches.some((batch) => batch.length > 0)
    }
    expect(claimed).toHaveLength(300)
    expect(new Set(claimed)).toEqual(new Set(ids))
  })

  it('are those whose time has come, in the states that wait', async () => {
    const { ownership } = await take()
    const [due] = await runs(1, null, 'waiting')
    const [later] = await runs(1, null, 'waiting')
    await database.dataSource.query(`update run set wake_at = now() + interval '1 hour' where id = $1`, [later])
    const [forSignal] = await runs(1, null, 'waiting')
    await database.dataSource.query('update run set wake_at = null where id = $1', [forSignal])
    await runs(1, null, 'cancelled')
    expect((await waitingAccounts(database.sql, ['default'], '', new Date())).woken).toBe(1)
    const claimed = await claimDueRuns(database.sql, ownership.writer, claim(10))
    expect(claimed.map(({ id, epoch }) => ({ id, epoch }))).toEqual([{ id: due, epoch: 1 }])
  })
})

describe('a run whose accept or claim was answered to a broken connection', () => {
  it('is taken up by the process that has it by the table, and no other', async () => {
    const { ownership } = await take()
    const [known, unknown] = await runs(2, ownership.writer.id)
    const [foreign] = await runs(1, 'engine_other')
    const owned = await ownedRunIds(database.sql, ownership.writer)
    expect(new Set(owned)).toEqual(new Set([known, unknown]))
    const retaken = await retakeRuns(database.sql, ownership.writer, [unknown as string, foreign as string])
    expect(retaken.map(({ id, epoch }) => ({ id, epoch }))).toEqual([{ id: unknown, epoch: 1 }])
    expect(await stored(known)).toMatchObject({ epoch: 0 })
    expect(await stored(unknown)).toMatchObject({ epoch: 1, recoveries: 1, state: 'running' })
  })
})

function claim(limit: number) {
  const quotas = [{ account: 'account_a', quota: limit }]
  return { quotas, now: new Date(), tags: ['default'], suspects: 1, lateBefore: new Date(), fresh: true }
}

async function take(): Promise<Watched> {
  const watched: Omit<Watched, 'ownership' | 'reap'> = { lost: 0, errors: [] }
  const whole = watched as Watched
  const onError = (error: unknown) => whole.errors.push(error)
  whole.ownership = await Ownership.take(database.sql, { onLost: () => whole.lost++, onError })
  let released = 0
  const reaper = new Reaper(database.sql, whole.ownership.writer.id, {
    onTakeover: ({ queued }) => {
      released += queued
    },
    onError,
  })
  whole.reap = async () => {
    released = 0
    await reaper.reap()
    return released
  }
  taken.push(whole)
  return whole
}

async function record(runId: string, path: string): Promise<void> {
  await database.dataSource.query(
    `insert into step_outcome (run_id, path, attempt, node, node_type, state, started_at, finished_at)
      values ($1, $2, 1, $2, 'echo', 'succeeded', now(), now())`,
    [runId, path],
  )
}

/** An instance of a process that is not there any more; `locked`: its connection still stands. */
async function gone(id: string, lease: string, locked?: 'locked'): Promise<(() => Promise<void>) | undefined> {
  const [{ fence }] = await database.dataSource.query(
    `insert into engine_instance (id, host, pid, lease_until) values ($1, 'test', 1, now() + $2::interval) returning fence`,
    [id, lease],
  )
  if (!locked) return undefined
  const client = database.sql.client()
  await client.connect()
  await client.query('select pg_advisory_lock($1, $2)', [LOCKS.alive, fence])
  return () => client.end()
}

async function runs(count: number, owner: string | null, state = 'running'): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newId('run'))
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, owner, wake_at, created_at)
      select id, 'default', 'account_a', 'flow_f', 1, $2, 'api', '{}', $3, case when $2 in ('queued', 'waiting') then now() end,
        now() from unnest($1::text[]) as id`,
    [ids, state, owner],
  )
  return ids
}

async function instances(): Promise<{ id: string; lost_at: Date | null }[]> {
  return await database.dataSource.query('select * from engine_instance order by fence')
}

function holdersOf(fence: number): Promise<number[]> {
  return sessionsAt(fence, true)
}

function waitersFor(fence: number): Promise<number[]> {
  return sessionsAt(fence, false)
}

/** The sessions that have an instance's lock, or wait for it. Other databases of the server have instances of the same number. */
async function sessionsAt(fence: number, granted: boolean, kind: number = LOCKS.alive): Promise<number[]> {
  const rows = await database.dataSource.query(
    `select pid from pg_locks where locktype = 'advisory' and classid = $1 and objid = $2 and granted = $3
      and database = (select oid from pg_database where datname = current_database())`,
    [kind, fence, granted],
  )
  return rows.map(({ pid }: { pid: number }) => pid)
}

/** The lease's connection; undefined while it is away. */
function leaseClientOf(ownership: Ownership): EventEmitter | undefined {
  return (ownership as unknown as { client?: EventEmitter }).client
}

async function leaseConnections(): Promise<number> {
  const [{ count }] = await database.dataSource.query(
    `select count(*)::integer as count from pg_stat_activity
      where datname = current_database() and application_name = 'millrace lease'`,
  )
  return count
}

async function stored(id: string | undefined) {
  const [row] = await database.dataSource.query('select * from run where id = $1', [id])
  return row
}
