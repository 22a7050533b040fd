import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import type { Principal } from '../../platform/auth/principal.js'
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { newId } from '../../platform/ids.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { JobsService } from '../jobs/jobs.service.js'
import { DueSchedules } from './due-schedules.js'
import { dueTime } from './due-slots.js'
import { Schedule } from './schedule.entity.js'
import { ScheduleHistory } from './schedule-history.js'
import { type NewSchedule, SchedulesService } from './schedules.service.js'

const MINUTE = 60_000

let database: TestDatabase
let clock: FakeClock
let schedules: SchedulesService
let due: DueSchedules
let caller: Principal
let target: { type: 'flow'; id: string }

function newService(): SchedulesService {
  const profiles = { default: 'secure', jobs: ['secure'], requests: [] } as const
  const jobs = new JobsService(database.sql, database.dataSource, { profiles }, clock, { check: async () => {} })
  return new SchedulesService(database.dataSource, new ScheduleHistory(database.sql), new AuditTrail(), clock, jobs)
}

beforeAll(async () => {
  database = await testDatabase([Schedule])
})

beforeEach(async () => {
  await database.dataSource.query('delete from schedule; delete from schedule_slot')
  clock = new FakeClock('2030-01-01T00:00:30.000Z')
  schedules = newService()
  due = new DueSchedules(database.sql, clock)
  const accountId = newId('account')
  const credential = { kind: 'basic' } as const
  caller = { accountId, tenantId: 'default', role: 'user', email: 'a@example.com', name: 'A', credential }
  target = { type: 'flow', id: newId('flow') }
  await database.dataSource.query(
    `insert into account (id, tenant_id, email, name, role, password_hash, created_at, updated_at)
      values ($1, 'default', $2, 'Somebody', 'user', 'no password fits this', now(), now())`,
    [accountId, `${accountId}@example.com`],
  )
  await database.dataSource.query(
    `insert into flow (id, tenant_id, account_id, name, version, revision, created_at, updated_at)
      values ($1, 'default', $2, 'A flow', '1', 1, now(), now())`,
    [target.id, accountId],
  )
})

afterAll(() => database.drop())

const made = (input: Partial<NewSchedule> = {}) => schedules.create(caller, { target, cron: '* * * * *', ...input })
const at = (text: string) => new Date(`2030-01-01T${text}Z`)
const fire = async () => (await due.fire(async () => ({}))).runs

async function advance(minutes: number): Promise<number> {
  clock.advance(minutes * MINUTE)
  return await fire()
}

async function past(id: string) {
  const { items } = await schedules.past(caller, id, { limit: 100, offset: 0 })
  return items.map(({ slot, lastSlot, slots, state, reason }) => ({ slot, lastSlot, slots, state, reason }))
}

describe('a pause', () => {
  it('starts nothing, and nothing of it is made up for', async () => {
    const { id } = await made({ missed: 'all', overlap: 'allow' })
    expect(await advance(1)).toBe(1)
    expect(await schedules.update(caller, id, { enabled: false })).toMatchObject({ nextRunAt: null, dueAt: null })
    expect(await advance(10)).toBe(0)
    expect(await schedules.update(caller, id, { enabled: true })).toMatchObject({ nextRunAt: at('00:12:00') })
    expect(await fire()).toBe(0)
    expect(await advance(1)).toBe(1)
    expect(await past(id)).toMatchObject([{ slot: at('00:12:00') }, { slot: at('00:01:00') }])
  })

  it('may be there from the start', async () => {
    expect(await made({ enabled: false })).toMatchObject({ nextRunAt: null })
    expect(await advance(5)).toBe(0)
  })
})

describe('a change', () => {
  it('of the name leaves the next slot alone, even one that is overdue', async () => {
    const { id } = await made()
    clock.advance(5 * MINUTE)
    expect(await schedules.update(caller, id, { name: 'Renamed' })).toMatchObject({ nextRunAt: at('00:01:00') })
    expect(await fire()).toBe(1)
  })

  it('of the rhythm counts from now on', async () => {
    const { id } = await made()
    clock.advance(5 * MINUTE)
    expect(await schedules.update(caller, id, { every: '1h' })).toMatchObject({ nextRunAt: at('01:05:30') })
    expect(await schedules.update(caller, id, { every: 'PT2H' })).toMatchObject({ nextRunAt: at('02:05:30') })
    const tokyo = await schedules.update(caller, id, { cron: '0 9 2 1 *', timezone: 'Asia/Tokyo' })
    expect(tokyo).toMatchObject({ every: null, everyMs: null, nextRunAt: new Date('2030-01-02T00:00:00Z') })
    expect(await fire()).toBe(0)
  })

  it('of the jitter puts off the next slot', async () => {
    const { id } = await made()
    const changed = await schedules.update(caller, id, { jitterSeconds: 30 })
    const expected = dueTime({ key: `${caller.accountId}/${id}`, jitterMs: 30_000 }, at('00:01:00'))
    expect(changed).toMatchObject({ nextRunAt: at('00:01:00'), dueAt: expected })
    clock.advance(expected.getTime() - clock.now().getTime() - 1)
    expect(await fire()).toBe(0)
    clock.advance(1)
    expect(await fire()).toBe(1)
    expect(await past(id)).toMatchObject([{ slot: at('00:01:00'), state: 'queued' }])
  })

  it('never carries the time of the one before', async () => {
    const { id, updatedAt } = await made()
    const times = [updatedAt]
    for (const name of ['a', 'b', 'c']) times.push((await schedules.update(caller, id, { name })).updatedAt)
    expect(new Set(times.map((time) => time.getTime())).size).toBe(4)
  })
})

describe('an interval', () => {
  it('does not drift, however late it is looked at', async () => {
    const { id } = await made({ cron: undefined, every: '10m', overlap: 'allow' })
    for (const late of [0, 40, 7]) {
      clock.advance(10 * MINUTE + late)
      expect(await fire()).toBe(1)
    }
    expect((await past(id)).map(({ slot }) => slot)).toEqual([at('00:30:30'), at('00:20:30'), at('00:10:30')])
  })
})

describe('slots that nobody was there for', () => {
  it.each([
    ['skip', [{ slot: at('00:01:00'), lastSlot: at('00:59:00'), slots: 59, state: 'skipped', reason: 'missed' }]],
    [
      'last',
      [
        { slot: at('01:00:00'), state: 'queued' },
        { slot: at('00:01:00'), lastSlot: at('00:59:00'), slots: 59, state: 'skipped', reason: 'missed' },
      ],
    ],
  ] as const)('are left out, or made up for by the last (%s)', async (missed, expected) => {
    const { id } = await made({ missed })
    await advance(60)
    expect((await past(id)).slice(missed === 'skip' ? 1 : 0)).toMatchObject(expected)
    expect(await schedules.get(caller, id)).toMatchObject({ nextRunAt: at('01:01:00') })
  })

  it('are all made up for', async () => {
    const { id } = await made({ missed: 'all', overlap: 'allow' })
    expect(await advance(60)).toBe(60)
    expect(await past(id)).toHaveLength(60)
  })
})

describe('what people do', () => {
  it('is audited with the change, without the payload', async () => {
    const { id } = await made({ name: 'One', payload: { greeting: 'hello' } })
    await schedules.update(caller, id, { name: 'Two', payload: { greeting: 'bye' } })
    await schedules.remove(caller, id)
    await expect(schedules.remove(caller, id)).rejects.toThrow(`Schedule with ID ${id} not found`)
    const entries = await database.dataSource.query(
      'select action, actor_id, before, after from audit_entry where resource_id = $1 order by seq',
      [id],
    )
    expect(entries).toEqual([
      {
        action: 'schedule.create',
        actor_id: caller.accountId,
        before: null,
        after: expect.objectContaining({ name: 'One', target }),
      },
      {
        action: 'schedule.update',
        actor_id: caller.accountId,
        before: expect.objectContaining({ name: 'One' }),
        after: expect.objectContaining({ name: 'Two' }),
      },
      {
        action: 'schedule.delete',
        actor_id: caller.accountId,
        before: expect.objectContaining({ name: 'Two' }),
        after: null,
      },
    ])
    expect(JSON.stringify(entries)).not.toMatch(/hello|bye/)
  })

  it('does not happen where the flow is not theirs', async () => {
    await database.dataSource.query('update flow set deleted_at = now() where id = $1', [target.id])
    await expect(made()).rejects.toThrow(`Flow with ID ${target.id} not found`)
    expect((await schedules.page(caller, { limit: 10, offset: 0 })).total).toBe(0)
  })

  it('is seen before it happens: the slots to come, over a change of clocks', async () => {
    clock = new FakeClock('2030-03-30T12:00:00Z')
    schedules = newService()
    const { id } = await made({ cron: '30 2 * * *', timezone: 'Europe/Berlin' })
    expect((await schedules.coming(caller, id, 2)).map(({ wallTime }) => wallTime)).toEqual([
      '2030-03-31T03:00:00+02:00',
      '2030-04-01T02:30:00+02:00',
    ])
  })
})
