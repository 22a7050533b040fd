import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import type { RunIdentity } from '../../engine/step.js'
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { Sql } from '../../platform/database/sql.js'
import { newId } from '../../platform/ids.js'
import { SchedulesService } from './schedules.service.js'

const MINUTE = 60_000

const noTerms = async () => ({})

let database: TestDatabase
let clock: FakeClock
let schedules: SchedulesService
let run: RunIdentity

beforeAll(async () => {
  database = await testDatabase()
})

beforeEach(async () => {
  await database.dataSource.query('delete from schedule')
  clock = new FakeClock('2030-01-01T00:00:30.000Z')
  schedules = new SchedulesService(database.sql, clock)
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
    expect(await schedules.fire(noTerms)).toBe(1)
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

  it('shows its ten last runs, the newest first', async () => {
    await schedules.schedule(run, { id: 'often', cron: '* * * * *', flowId: run.flowId })
    for (let minute = 0; minute < 12; minute++) {
      clock.advance(MINUTE)
      expect(await schedules.fire(noTerms)).toBe(1)
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
    const services = processes.map((sql) => new SchedulesService(sql, clock))
    try {
      for (let slot = 1; slot <= 3; slot++) {
        clock.advance(MINUTE)
        for (let fired = 0; fired < 150; ) {
          const round = await Promise.all(services.map((service) => service.fire(noTerms)))
          fired += round.reduce((sum, count) => sum + count, 0)
        }
        expect(await schedules.fire(noTerms)).toBe(0)
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
    expect(await schedules.fire(noTerms)).toBe(1)
    expect(await schedules.fire(noTerms)).toBe(0)
    expect(await runsOf(run)).toHaveLength(1)
    expect((await schedules.get(run, 's'))?.nextRunAt).toEqual(new Date('2030-01-01T01:01:00Z'))
  })

  it('of a deleted flow start nothing, and the schedule goes with it', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    await database.dataSource.query('update flow set deleted_at = now() where id = $1', [run.flowId])
    clock.advance(MINUTE)
    expect(await schedules.fire(noTerms)).toBe(0)
    expect(await schedules.list(run)).toEqual([])
    expect(await runsOf(run)).toEqual([])
  })

  it('go on although a schedule beside them cannot be read any more', async () => {
    for (const id of ['broken', 'sound']) await schedules.schedule(run, { id, cron: '* * * * *', flowId: run.flowId })
    await database.dataSource.query(`update schedule set timezone = 'Gone/City' where id = 'broken'`)
    clock.advance(MINUTE)
    expect(await schedules.fire(noTerms)).toBe(2)
    clock.advance(MINUTE)
    expect(await schedules.fire(noTerms)).toBe(1)
    expect((await schedules.get(run, 'broken'))?.nextRunAt).toBeUndefined()
  })

  it('start the revision that is current when they come', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId })
    await database.dataSource.query('update flow set revision = 7 where id = $1', [run.flowId])
    clock.advance(MINUTE)
    await schedules.fire(noTerms)
    expect(await runsOf(run)).toMatchObject([{ revision: 7 }])
  })

  it('start runs on the terms of their flow: a run with a limit waits for its slot', async () => {
    await schedules.schedule(run, { id: 's', cron: '* * * * *', flowId: run.flowId, payload: { customer: 7 } })
    clock.advance(MINUTE)
    const asked: unknown[] = []
    await schedules.fire(async (...about) => {
      asked.push(about)
      return { priority: 9, tag: 'gpu', concurrency: { key: 'customer 7', limit: 2 } }
    })
    expect(asked).toEqual([[run.flowId, 1, { customer: 7 }]])
    const terms = { priority: 9, tag: 'gpu', concurrency_key: 'customer 7', concurrency_limit: 2, wake_at: null }
    expect(await runsOf(run)).toMatchObject([{ state: 'queued', ...terms }])
  })

  it('tell when the next one comes', async () => {
    expect(await schedules.nextDueAt()).toBeUndefined()
    await schedules.schedule(run, { id: 'late', cron: '0 0 * * *', flowId: run.flowId })
    await schedules.schedule(run, { id: 'soon', cron: '* * * * *', flowId: run.flowId })
    expect(await schedules.nextDueAt()).toEqual(new Date('2030-01-01T00:01:00Z'))
  })
})

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
