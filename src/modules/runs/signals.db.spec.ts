import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import type { SignalWait } from '../../engine/host.js'
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { newId } from '../../platform/ids.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { type Sender, SignalsService } from './signals.service.js'

const clock = new FakeClock()
const NOW = clock.now()
const DAY_MS = 86_400_000

let database: TestDatabase
let signals: SignalsService

beforeAll(async () => {
  database = await testDatabase()
  signals = new SignalsService(database.sql, database.dataSource, new AuditTrail(), clock)
})

afterAll(() => database.drop())

describe('a wait and its signal', () => {
  it('meet in whichever order they come', async () => {
    const { sender, run } = await account()
    expect(await signals.await(run, wait('late'), NOW)).toEqual({ delivered: false })
    expect(await signals.deliver(sender, 'late', { n: 1 }, NOW)).toEqual({ runIds: [run.id], kept: false })
    expect(await signals.await(run, wait('late'), NOW)).toEqual({ delivered: true, data: { n: 1 } })

    expect(await signals.deliver(sender, 'early', { n: 2 }, NOW)).toEqual({ runIds: [], kept: true })
    expect(await signals.await(run, wait('early'), NOW)).toEqual({ delivered: true, data: { n: 2 } })
    expect(await signals.await(run, wait('early'), NOW)).toEqual({ delivered: true, data: { n: 2 } })
  })

  it('meet although both come at the same moment, a hundred times over', async () => {
    const { sender, run } = await account()
    const keys = Array.from({ length: 100 }, (_, index) => `race-${index}`)
    await Promise.all(
      keys.flatMap((key) => [signals.await(run, wait(key), NOW), signals.deliver(sender, key, { key }, NOW)]),
    )
    for (const key of keys) expect(await signals.await(run, wait(key), NOW)).toEqual({ delivered: true, data: { key } })
    expect(await kept(sender)).toBe(0)
  })

  it('leave connections to others, however many wait at once', async () => {
    const { run } = await account()
    const waits = Array.from({ length: 100 }, (_, index) => signals.await(run, wait(`many-${index}`), NOW))
    await waits[20]
    expect(database.sql.load.waitingCount).toBeLessThan(10)
    expect(await Promise.all(waits)).toEqual(waits.map(() => ({ delivered: false })))
  })

  it('wakes a run that is parked', async () => {
    const { sender, run } = await account()
    await database.dataSource.query(`update run set state = 'waiting', wake_at = null where id = $1`, [run.id])
    await signals.await(run, wait('k'), NOW)
    await signals.deliver(sender, 'k', null, NOW)
    const [{ wake_at }] = await database.dataSource.query('select wake_at from run where id = $1', [run.id])
    expect(wake_at).toEqual(NOW)
  })

  it('never meet over accounts, though the keys are the same', async () => {
    const [mine, theirs] = [await account(), await account()]
    await signals.await(mine.run, wait('k'), NOW)
    expect(await signals.deliver(theirs.sender, 'k', 'foreign', NOW)).toEqual({ runIds: [], kept: true })
    expect(await signals.await(mine.run, wait('k'), NOW)).toEqual({ delivered: false })
  })
})

describe('a signal', () => {
  it('continues every run that waits for its key', async () => {
    const { sender, run } = await account()
    const others = await Promise.all(Array.from({ length: 9 }, () => runOf(sender.accountId)))
    const all = [run, ...others]
    await Promise.all(all.map((one) => signals.await(one, wait('k'), NOW)))
    const { runIds } = await signals.deliver(sender, 'k', 1, NOW)
    expect(new Set(runIds)).toEqual(new Set(all.map(({ id }) => id)))
    for (const one of all) expect(await signals.await(one, wait('k'), NOW)).toEqual({ delivered: true, data: 1 })
  })

  it('that is kept goes to one wait, the first that was sent first; of a hundred waits each gets its own', async () => {
    const { sender } = await account()
    for (let number = 0; number < 100; number++) await signals.deliver(sender, 'k', number, NOW)
    const all = await Promise.all(Array.from({ length: 100 }, () => runOf(sender.accountId)))
    expect(await signals.await(all[0] as (typeof all)[0], wait('k'), NOW)).toEqual({ delivered: true, data: 0 })
    const states = await Promise.all(all.map((one) => signals.await(one, wait('k'), NOW)))
    const numbers = states.map((state) => (state.delivered ? Number(state.data) : Number.NaN))
    expect([...numbers].sort((one, other) => one - other)).toEqual(Array.from({ length: 100 }, (_, index) => index))
    expect(await signals.await(await runOf(sender.accountId), wait('k'), NOW)).toEqual({ delivered: false })
  })

  it('sent a hundred times at once answers one wait once and keeps the others', async () => {
    const { sender, run } = await account()
    await signals.await(run, wait('k'), NOW)
    const deliveries = await Promise.all(
      Array.from({ length: 100 }, (_, number) => signals.deliver(sender, 'k', number, NOW)),
    )
    const answered = deliveries.flatMap(({ runIds }, number) => (runIds.length > 0 ? [number] : []))
    expect(answered).toHaveLength(1)
    expect(await signals.await(run, wait('k'), NOW)).toEqual({ delivered: true, data: answered[0] })
    expect(await kept(sender)).toBe(99)
  })

  it('is kept for a week', async () => {
    const { sender, run } = await account()
    await signals.deliver(sender, 'k', 1, NOW)
    await signals.deliver(sender, 'other', 1, NOW)
    const almost = new Date(NOW.getTime() + 7 * 86_400_000 - 1)
    const week = new Date(NOW.getTime() + 7 * 86_400_000)
    expect(await signals.await(run, wait('k'), almost)).toMatchObject({ delivered: true })
    expect(await signals.await(run, wait('other'), week)).toEqual({ delivered: false })
  })
})

describe('a deadline', () => {
  const deadline = new Date(NOW.getTime() + 1_000)
  const after = new Date(NOW.getTime() + 1_001)

  it('stays the first one that was recorded', async () => {
    const { run } = await account()
    expect(await signals.await(run, { ...wait('k'), deadline }, NOW)).toEqual({ delivered: false, deadline })
    expect(await signals.await(run, { ...wait('k'), deadline: after }, NOW)).toEqual({ delivered: false, deadline })
  })

  it('leaves what comes later for the next wait', async () => {
    const { sender, run } = await account()
    await signals.await(run, { ...wait('k'), deadline }, NOW)
    expect(await signals.deliver(sender, 'k', 'late', after)).toEqual({ runIds: [], kept: true })
    expect(await signals.await(run, { ...wait('k'), deadline }, after)).toEqual({ delivered: false, deadline })
    expect(await signals.await(run, wait('k', 'next'), after)).toEqual({ delivered: true, data: 'late' })
  })

  it('of now still finds what was there before', async () => {
    const { sender, run } = await account()
    await signals.deliver(sender, 'k', 'early', NOW)
    expect(await signals.await(run, { ...wait('k'), deadline: NOW }, NOW)).toEqual({ delivered: true, data: 'early' })
  })
})

describe('a run that is over', () => {
  it('takes no signal from those that go on', async () => {
    const { sender, run } = await account()
    await signals.await(run, wait('before'), NOW)
    await database.dataSource.query(`update run set state = 'cancelled' where id = $1`, [run.id])
    expect(await signals.deliver(sender, 'before', 1, NOW)).toEqual({ runIds: [], kept: true })
    await signals.deliver(sender, 'after', 2, NOW)
    expect(await signals.await(run, wait('after'), NOW)).toEqual({ delivered: false })
    expect(await signals.await(await runOf(sender.accountId), wait('after'), NOW)).toEqual({ delivered: true, data: 2 })
  })
})

describe('a wait and the cancel of its run', () => {
  it('leave no wait behind, whichever comes first', async () => {
    const { sender } = await account()
    const all = await Promise.all(Array.from({ length: 50 }, () => runOf(sender.accountId)))
    await Promise.all(
      all.flatMap((run) => [
        signals.await(run, wait('k'), NOW),
        database.dataSource.query('select run_cancel($1, $2, $3)', [sender.accountId, run.id, NOW]),
      ]),
    )
    const ids = all.map(({ id }) => id)
    expect(await database.dataSource.query('select run_id from signal_wait where run_id = any ($1)', [ids])).toEqual([])
  })
})

describe('a signal that nobody comes for', () => {
  it('is kept for a week and swept out then', async () => {
    const { sender } = await account()
    await signals.deliver(sender, 'k', null, clock.now())
    clock.advance(7 * DAY_MS - 1)
    await signals.sweep()
    expect(await kept(sender)).toBe(1)
    clock.advance(1)
    await signals.sweep()
    expect(await kept(sender)).toBe(0)
  })
})

function wait(key: string, path = key): SignalWait {
  return { path, attempt: 1, key, mayPark: true }
}

async function account(): Promise<{ sender: Sender; run: { id: string; accountId: string } }> {
  const accountId = newId('account')
  return { sender: { accountId, tenantId: 'default', email: 'a@example.com' }, run: await runOf(accountId) }
}

async function runOf(accountId: string): Promise<{ id: string; accountId: string }> {
  const id = newId('run')
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, created_at)
      values ($1, 'default', $2, 'flow_f', 1, 'running', 'api', '{}', now())`,
    [id, accountId],
  )
  return { id, accountId }
}

async function kept({ accountId }: Sender): Promise<number> {
  const [{ count }] = await database.dataSource.query(
    'select count(*)::integer as count from signal where account_id = $1',
    [accountId],
  )
  return count
}
