import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Logger } from '@nestjs/common'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import type { RunIdentity } from '../../engine/step.js'
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { Sql } from '../../platform/database/sql.js'
import { Hints } from '../../platform/hints/hints.js'
import { newId } from '../../platform/ids.js'
import { RunEvents } from '../runs/events/run-events.js'
import { RunFeed } from '../runs/feed/run-feed.js'
import { DueSchedules, type TermsOf } from './due-schedules.js'
import { SchedulesOfFlows } from './flow-schedules.js'
import { removeOldSlots, ScheduleHistory } from './schedule-history.js'

const MINUTE = 60_000

const noTerms = async () => ({})

let database: TestDatabase
let clock: FakeClock
let schedules: SchedulesOfFlows
let due: DueSchedules
let run: RunIdentity

beforeAll(async () => {
  database = await testDatabase()
})

beforeEach(async () => {
  await database.dataSource.query('delete from schedule; delete from schedule_slot')
  clock = new FakeClock('2030-01-01T00:00:30.000Z')
  schedules = new SchedulesOfFlows(database.sql, clock)
  due = new DueSchedules(database.sql, clock)
  run = await flowOfNewAccount()
})

afterAll(() => database.drop())

describe('a schedule', () => {
  it('is kept with its next slot, and shown with what it started', async () => {
    const made = await schedules.schedule(run, {
      id: 'nightly',
      cron: '0 3 * * *',
      timezone: 'Europe/Vienna',
      flowId: run.flowId,
      node: 'second',
      payload: { a: 1 },
    })
    const expected = {
      id: 'nightly',
      cron: '0 3 * * *',
      timezone: 'Europe/Vienna',
      flowId: run.flowId,
      node: 'second',
      payload: { a: 1 },
      nextRunAt: new Date('2030-01-01T02:00:00Z'),
    }
    expect(made).toEqual(expected)
    expect(await schedules.list(run)).toEqual([expected])
    expect(await schedules.get(run, 'nightly')).toEqual({ ...expected, executions: [] })
    clock.advance(2 * 60 * MINUTE)
    expect(await fire()).toBe(1)
    const shown = await schedules.get(run, 'nightly')
    expect(shown?.nextRunAt).toEqual(new Date('2030-01-02T02:00:00Z'))
    const [started] = await runsOf(run)
    expect(shown?.executions).toEqual([
      { id: started?.id, status: 'running', started_at: '2030-01-01T02:00:30.000Z', completed_at: null },
    ])
    expect(started).toMatchObject({
      state: 'queued',
      trigger: 'schedule',
      schedule_id: 'nightly',
      start_node: 'second',
      input: { a: 1 },
      revision: 1,
      account_id: run.accountId,
    })
  })

  it('has each run told of when it is made, before anything of it is done', async () => {
    await schedules.schedule(run, { id: 'told', cron: '* * * * *', flowId: run.flowId })
    clock.advance(MINUTE)
    const fired = await due.fire(noTerms)
    expect(fired.accounts).toEqual([run.accountId])
    const [started] = await runsOf(run)
    const chunks = await database.dataSource.query(
      'select run_id, first_seq, position is not null as placed from run_event_chunk where account_id = $1',
      [run.accountId],
    )
    expect(chunks).toEqual([{ run_id: started?.id, first_seq: 0, placed: true }])
    const feed = new RunFeed(database.sql, new RunEvents(database.sql, new Hints([])))
    for await (const page of feed.follow(run.accountId, {}, 0, AbortSignal.timeout(15_000))) {
      expect(page).toMatchObject([{ type: 'created', runId: started?.id, at: '2030-01-01T00:01:30.000Z' }])
      break
    }
    feed.onApplicationShutdown()
  })

  it('shows its ten last runs, the newest first', async () => {
    await schedules.schedule(run, { id: 'often', cron: '* * * * *', flowId: run.flowId })
    for (let minute = 0; minute < 12; minute++) {
      clock.advance(MINUTE)
      expect(await fire()).toBe(1)
    }
    const started = (await schedules.get(run, 'often'))?.executions.map(({ started_at }) => started_at)
    expect(started).toHaveLength(10)
    expect(started?.[0]).toBe('2030-01-01T00:12:30.000Z')
    expect(started).toEqual([...(started ?? [])].sort().reverse())
  })

  it('is replaced by one with the same id', async () => {
    await schedules.schedule(run, { id: 's', cron: '0 0 * * *', flowId: run.flowId })
    await schedules.schedule(run, { id: 's', cron: '*/10 * * * * *', flowId: run.flowId, payload: [1] })
    const all = await schedules.list(run)
    expect(all).toHaveLength(1)
    expect(all[0]).toMatchObject({ cron: '*/10 * * * * *', payload: [1], nextRunAt: new Date('2030-01-01T00:00:40Z') })
  })

  it("is its account's own", async () => {
    const other = await flowOfNewAccount()
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    expect(await schedules.list(other)).toEqual([])
    expect(await schedules.get(other, 's')).toBeUndefined()
    expect(await schedules.delete(other, 's')).toBe(false)
    await schedules.schedule(other, { id: 's', cron: '0 0 * * *', flowId: other.flowId })
    expect((await schedules.get(run, 's'))?.cron).toBe('* * * * *')
    await expect(schedules.schedule(other, { id: 't', cron: '* * * * *', flowId: run.flowId })).rejects.toThrow(
      `flow '${run.flowId}' does not exist`,
    )
    expect(await schedules.delete(run, 's')).toBe(true)
    expect(await schedules.delete(run, 's')).toBe(false)
    expect(await schedules.list(other)).toHaveLength(1)
  })

  it.each(['nonsense', '61 * * * *', '* * *', ''])("with the cron expression '%s' is refused", async (cron) => {
    await expect(schedules.schedule(run, { id: 's', cron, flowId: run.flowId })).rejects.toThrow('invalid cron')
    expect(await schedules.list(run)).toEqual([])
  })

  it('in a time zone that does not exist is refused', async () => {
    const nowhere = { id: 's', cron: '* * * * *', timezone: 'Nowhere/Land', flowId: run.flowId }
    await expect(schedules.schedule(run, nowhere)).rejects.toThrow('invalid cron')
  })
})

describe('slots', () => {
  it('start one run each, however many processes look', async () => {
    for (let index = 0; index < 150; index++)
      await schedules.schedule(run, { id: `s${index}`, cron: '* * * * *', flowId: run.flowId })
    const url = { connectionString: database.url, max: 3 }
    const processes = Array.from({ length: 4 }, () => new Sql(url))
    const services = processes.map((sql) => new DueSchedules(sql, clock))
    try {
      for (let slot = 1; slot <= 3; slot++) {
        clock.advance(MINUTE)
        for (let fired = 0; fired < 150; ) {
          const round = await Promise.all(services.map((service) => service.fire(noTerms)))
          fired += round.reduce((sum, { runs }) => sum + runs, 0)
        }
        expect(await fire()).toBe(0)
        expect(await runsOf(run)).toHaveLength(150 * slot)
      }
    } finally {
      await Promise.all(processes.map((sql) => sql.close()))
    }
    const perSchedule = Map.groupBy(await runsOf(run), ({ schedule_id }) => schedule_id)
    expect([...perSchedule.values()].map((runs) => runs.length)).toEqual(Array.from({ length: 150 }, () => 3))
  })

  it('that were missed are made up for by one run', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    clock.advance(60 * MINUTE)
    expect(await fire()).toBe(1)
    expect(await fire()).toBe(0)
    expect(await runsOf(run)).toHaveLength(1)
    expect((await schedules.get(run, 's'))?.nextRunAt).toEqual(new Date('2030-01-01T01:01:00Z'))
  })

  it('of a deleted flow start nothing, and the schedule goes with it', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    await database.dataSource.query('update flow set deleted_at = now() where id = $1', [run.flowId])
    clock.advance(MINUTE)
    expect(await fire()).toBe(0)
    expect(await schedules.list(run)).toEqual([])
    expect(await runsOf(run)).toEqual([])
  })

  it('of a deleted account start nothing, and the schedule goes with it', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    await database.dataSource.query('update account set deleted_at = now() where id = $1', [run.accountId])
    clock.advance(MINUTE)
    expect(await fire()).toBe(0)
    expect(await schedules.list(run)).toEqual([])
    expect(await runsOf(run)).toEqual([])
  })

  it('of an account that may only look go by, and come again once it may do more', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    const become = (role: string) =>
      database.dataSource.query('update account set role = $2 where id = $1', [run.accountId, role])
    await become('viewer')
    clock.advance(MINUTE)
    expect(await fire()).toBe(0)
    await become('user')
    clock.advance(MINUTE)
    expect(await fire()).toBe(1)
    expect(await runsOf(run)).toHaveLength(1)
  })

  it('of a disabled flow go by, and come again once it is enabled', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    const enable = (enabled: boolean) =>
      database.dataSource.query('update flow set enabled = $2 where id = $1', [run.flowId, enabled])
    await enable(false)
    clock.advance(MINUTE)
    expect(await fire()).toBe(0)
    await enable(true)
    clock.advance(MINUTE)
    expect(await fire()).toBe(1)
    const slots = await database.dataSource.query(
      `select status, reason from schedule_slot where account_id = $1 order by slot`,
      [run.accountId],
    )
    expect(slots).toEqual([
      { status: 'skipped', reason: 'disabled' },
      { status: 'started', reason: null },
    ])
  })

  it('go on although a schedule beside them cannot be read any more', async () => {
    for (const id of ['broken', 'sound']) await schedules.schedule(run, { id, cron: '* * * * *', flowId: run.flowId })
    await database.dataSource.query(`update schedule set timezone = 'Gone/City' where id = 'broken'`)
    clock.advance(MINUTE)
    expect(await fire()).toBe(2)
    clock.advance(MINUTE)
    expect(await fire()).toBe(1)
    expect((await schedules.get(run, 'broken'))?.nextRunAt).toBeUndefined()
  })

  it('start the revision that is current when they come', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    await database.dataSource.query('update flow set revision = 7 where id = $1', [run.flowId])
    clock.advance(MINUTE)
    await fire()
    expect(await runsOf(run)).toMatchObject([{ revision: 7 }])
  })

  it('start runs on the terms of their flow: a run with a limit waits for its slot', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId, payload: { customer: 7 } })
    clock.advance(MINUTE)
    const asked: unknown[] = []
    await due.fire(async (...about) => {
      asked.push(about)
      return { priority: 9, tag: 'gpu', concurrency: { key: 'customer 7', limit: 2 } }
    })
    expect(asked).toEqual([[run.flowId, 1, { customer: 7 }]])
    const terms = { priority: 9, tag: 'gpu', concurrency_key: 'customer 7', concurrency_limit: 2, wake_at: null }
    expect(await runsOf(run)).toMatchObject([{ state: 'queued', ...terms }])
  })

  it('tell when the next one comes', async () => {
    expect(await due.nextDueAt()).toBeUndefined()
    await schedules.schedule(run, { id: 'late', cron: '0 0 * * *', flowId: run.flowId })
    await schedules.schedule(run, { id: 'soon', cron: '* * * * *', flowId: run.flowId })
    expect(await due.nextDueAt()).toEqual(new Date('2030-01-01T00:01:00Z'))
  })
})

describe('many schedules', () => {
  const make = (count: number) =>
    database.dataSource.query(
      `insert into schedule (id, account_id, tenant_id, flow_id, cron, timezone, next_run_at, due_at, overlap)
        select 'many-' || n, $1, 'default', $2, (n % 7) || ' 1 * * *', 'Europe/Berlin', $3, $3, case n % 2 when 0 then 'skip' else 'allow' end
        from generate_series(1, $4::integer) as n`,
      [run.accountId, run.flowId, '2030-01-01T00:01:00Z', count],
    )
  const count = async () => {
    const [counted] = await database.dataSource.query(
      `select count(*)::integer as runs, count(distinct schedule_id)::integer as schedules,
          (select count(*)::integer from schedule_slot where account_id = $1 and status = 'started') as slots,
          (select count(*)::integer from schedule where account_id = $1 and due_at > $2) as advanced
        from run where account_id = $1`,
      [run.accountId, clock.now()],
    )
    return counted
  }

  it('of the same minute, 10,000 of them, start one run each in two processes', async () => {
    await make(10_000)
    clock.advance(MINUTE)
    const processes = Array.from({ length: 2 }, () => new Sql({ connectionString: database.url, max: 3 }))
    try {
      const fired = await Promise.all(processes.map((sql) => new DueSchedules(sql, clock).fire(noTerms)))
      expect(fired.reduce((sum, { runs }) => sum + runs, 0)).toBe(10_000)
      expect(await fire()).toBe(0)
    } finally {
      await Promise.all(processes.map((sql) => sql.close()))
    }
    expect(await count()).toEqual({ runs: 10_000, schedules: 10_000, slots: 10_000, advanced: 10_000 })
  }, 60_000)

  it('lose nothing and start nothing twice when the processes that fire them are killed in the middle', async () => {
    await make(1_500)
    clock.advance(MINUTE)
    const killed = await Promise.all([1, 2].map((passages) => firedUntilKilled(passages)))
    expect(killed).toContain('SIGKILL')
    const left = 1_500 - (await count()).runs
    expect(left).toBeGreaterThan(0)
    expect(await fire()).toBe(left)
    expect(await count()).toEqual({ runs: 1_500, schedules: 1_500, slots: 1_500, advanced: 1_500 })
  }, 60_000)
})

describe('what became of a slot', () => {
  const history = async (id: string) => (await new ScheduleHistory(database.sql).page(run.accountId, id, 10, 0)).items

  it('is written with the run that it started, once', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    clock.advance(MINUTE)
    expect(await fire()).toBe(1)
    const [started] = await runsOf(run)
    expect(await history('s')).toEqual([
      {
        slot: new Date('2030-01-01T00:01:00Z'),
        lastSlot: new Date('2030-01-01T00:01:00Z'),
        slots: 1,
        state: 'queued',
        startedAt: clock.now(),
        runId: started?.id,
      },
    ])
  })

  it('keeps it from starting another, whatever the schedule says', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    clock.advance(MINUTE)
    await fire()
    await database.dataSource.query(`update schedule set next_run_at = $1, due_at = $1`, ['2030-01-01T00:01:00Z'])
    expect(await fire()).toBe(0)
    expect(await runsOf(run)).toHaveLength(1)
    expect(await due.nextDueAt()).toEqual(new Date('2030-01-01T00:02:00Z'))
  })

  it('goes with the schedule', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    clock.advance(MINUTE)
    await fire()
    await schedules.delete(run, 's')
    expect(await history('s')).toEqual([])
  })

  it('is that its flow could not place it, and the schedules beside it go on', async () => {
    for (const id of ['odd', 'sound'])
      await schedules.schedule(run, { id, cron: '* * * * *', flowId: run.flowId, payload: id })
    clock.advance(MINUTE)
    Logger.overrideLogger(false)
    const fired = await fire(async (_flow, _revision, input) => {
      if (input === 'odd') throw new Error('no such key')
      return {}
    })
    expect(fired).toBe(1)
    expect(await history('odd')).toMatchObject([{ state: 'unplaced', reason: 'unplaceable', runId: undefined }])
    expect(await due.nextDueAt()).toEqual(new Date('2030-01-01T00:02:00Z'))
  })

  it('is kept as long as runs are', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    for (let minute = 0; minute < 3; minute++) {
      clock.advance(MINUTE)
      await fire()
    }
    expect(await removeOldSlots(database.sql, new Date('2030-01-01T00:02:30Z'))).toEqual({ rows: 2, isDone: true })
    expect(await history('s')).toHaveLength(1)
  })
})

describe('a run that is under way when the next slot comes', () => {
  const set = (overlap: string, missed = 'last') =>
    database.dataSource.query('update schedule set overlap = $1, missed = $2', [overlap, missed])
  const slotOf = (minute: number) => new Date(Date.parse('2030-01-01T00:00:00Z') + minute * MINUTE)
  const states = async () =>
    await database.dataSource.query(
      `select h.slot, h.status, h.reason, r.state from schedule_slot h left join run r on r.id = h.run_id where h.account_id = $1 order by h.slot`,
      [run.accountId],
    )
  const end = () =>
    database.dataSource.query(
      `update run set state = 'completed', finished_at = now(), wake_at = null where state = 'queued'`,
    )

  beforeEach(async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
  })

  it('lets it be skipped', async () => {
    await set('skip')
    for (let minute = 0; minute < 2; minute++) {
      clock.advance(MINUTE)
      await fire()
    }
    await end()
    clock.advance(MINUTE)
    expect(await fire()).toBe(1)
    expect(await states()).toEqual([
      { slot: slotOf(1), status: 'started', reason: null, state: 'completed' },
      { slot: slotOf(2), status: 'skipped', reason: 'overlap', state: null },
      { slot: slotOf(3), status: 'started', reason: null, state: 'queued' },
    ])
  })

  it('is cancelled for it', async () => {
    await set('cancel_previous')
    clock.advance(MINUTE)
    await fire()
    const [first] = await runsOf(run)
    clock.advance(MINUTE)
    expect(await due.fire(noTerms)).toMatchObject({ runs: 1, cancelled: [first?.id] })
    expect(await states()).toMatchObject([{ state: 'cancelled' }, { state: 'queued' }])
  })

  it('is waited for, and then each slot has its turn', async () => {
    await set('queue', 'all')
    clock.advance(MINUTE)
    await fire()
    for (let look = 0; look < 60; look++) {
      clock.advance(2_000)
      expect(await fire()).toBe(0)
    }
    for (const minute of [2, 3]) {
      await end()
      clock.advance(2_000)
      expect(await fire()).toBe(1)
      expect(await fire()).toBe(0)
      expect((await states()).at(-1)).toMatchObject({ slot: slotOf(minute), status: 'started', state: 'queued' })
    }
  })
})

/** Lets a process of its own fire until it passes the crash point for this time; answers what ended it. */
async function firedUntilKilled(passages: number): Promise<NodeJS.Signals | null> {
  const root = fileURLToPath(new URL('../../../', import.meta.url))
  const [loader, program] = ['./test/support/typescript.mjs', 'src/modules/schedules/firing-process.fake.ts']
  const child = spawn(
    process.execPath,
    ['--import', loader, program, database.url, clock.now().toISOString(), `${passages}`],
    { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] },
  )
  const [, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return signal
}

/** How many runs one look started. */
async function fire(termsOf: TermsOf = noTerms): Promise<number> {
  return (await due.fire(termsOf)).runs
}

async function flowOfNewAccount(): Promise<RunIdentity> {
  const accountId = newId('account')
  const flowId = newId('flow')
  await database.dataSource.query(
    `insert into account (id, tenant_id, email, name, role, password_hash, created_at, updated_at)
      values ($1, 'default', $2, 'Somebody', 'user', 'no password fits this', now(), now())`,
    [accountId, `${accountId}@example.com`],
  )
  await database.dataSource.query(
    `insert into flow (id, tenant_id, account_id, name, version, revision, created_at, updated_at)
      values ($1, 'default', $2, 'A flow', '1', 1, now(), now())`,
    [flowId, accountId],
  )
  return { id: newId('run'), flowId, tenantId: 'default', accountId }
}

async function runsOf({
  accountId,
}: RunIdentity): Promise<{ id: string; schedule_id: string; [column: string]: unknown }[]> {
  return await database.dataSource.query('select * from run where account_id = $1 order by id', [accountId])
}
