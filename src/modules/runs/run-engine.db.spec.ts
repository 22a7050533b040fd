import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { type FakeNode, fakeSteps, stepType } from '../../engine/flow.fake.js'
import { systemClock } from '../../platform/clock/clock.js'
import { newId } from '../../platform/ids.js'
import { AuditEntry } from '../audit/audit-entry.entity.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { type WatchedEvent } from './events/run-events.js'
import { acceptRun, type EngineProcess, engineProcess } from './run-engine.fake.js'
import type { RunEngine } from './run-engine.js'
import { EngineNotReady } from './runs.errors.js'
import { RunsQueries } from './runs.queries.js'
import { SignalsService } from './signals.service.js'

let database: TestDatabase
let queries: RunsQueries
const engines: RunEngine[] = []
/** How often the `count` step has run, by run. */
const counted = new Map<string, number>()
/** Held steps by run: resolved by the test. */
const held = new Map<string, { release(): void; signal: AbortSignal }>()
const graphs = new Map<string, Record<string, FakeNode>>()
/** What the next runs meet as they begin. */
const failures: Error[] = []

const steps = [
  ...fakeSteps,
  stepType(
    'count',
    (_, step) => {
      counted.set(step.run.id, (counted.get(step.run.id) ?? 0) + 1)
      return { output: step.input }
    },
    { stepClass: 'effect' },
  ),
  stepType(
    'hold',
    (_, step) =>
      new Promise((resolve, reject) => {
        held.set(step.run.id, { release: () => resolve({ output: 'released' }), signal: step.signal })
        step.signal.addEventListener('abort', () => reject(step.signal.reason), { once: true })
      }),
    { stepClass: 'effect' },
  ),
  /** Ends when it is told to by the test, and not by an abort. */
  stepType(
    'deaf',
    (_, step) =>
      new Promise((resolve) => {
        held.set(step.run.id, { release: () => resolve({ output: 'at last' }), signal: step.signal })
      }),
    { stepClass: 'effect' },
  ),
  stepType('say', (params, step) => {
    step.log('info', String(params.message), { from: 'say' })
    return { output: params.message ?? null }
  }),
]

beforeAll(async () => {
  database = await testDatabase([AuditEntry])
  queries = new RunsQueries(database.sql)
})

afterEach(async () => {
  for (const { release } of held.values()) release()
  held.clear()
  await Promise.all(engines.splice(0).map((engine) => engine.stop(100)))
  // A run that a failed test left would be taken up by the next one's engine.
  await database.dataSource.query('delete from run')
  await database.dataSource.query('delete from engine_instance')
})

afterAll(() => database.drop())

describe('a run', () => {
  it('is interpreted and ends with its last output, its events in order', async () => {
    const engine = await process()
    const id = await start(engine.engine, {
      say: { type: 'say', params: { message: 'hello' }, next: { default: 'last' } },
      last: { type: 'echo', params: { value: { ok: true } } },
    })
    expect(await ended(id)).toMatchObject({ state: 'completed', result: { ok: true } })
    const events = await all(engine.events.follow(id, 0, new AbortController().signal))
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1))
    expect(events.map((event) => (event.type === 'log' ? event.message : event.type))).toEqual([
      'Run started',
      'node_started',
      'hello',
      'node_completed',
      'node_started',
      'node_completed',
      'Run completed',
      'ended',
    ])
    expect(events.filter((event) => event.type === 'node_completed').map((event) => event.result)).toEqual([
      'hello',
      { ok: true },
    ])
    const logs = await queries.logs(id, { level: 'info' }, 2, 1)
    expect(logs).toMatchObject({
      total: 3,
      items: [{ message: 'hello', data: { from: 'say' } }, { message: 'Run completed' }],
    })
  })

  it('fails with the words of the step that failed', async () => {
    const { engine } = await process()
    const id = await start(engine, { bad: { type: 'fail', params: { message: 'no luck' } } })
    expect(await ended(id)).toMatchObject({
      state: 'failed',
      error: { message: 'no luck', node: 'bad', nodeType: 'fail' },
    })
  })

  it.each([
    ['a connection that is refused', Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })],
    ['a connection that breaks', new Error('Connection terminated unexpectedly')],
    ['a database that starts', Object.assign(new Error('the database system is starting up'), { code: '57P03' })],
  ])('is not failed because of %s: it is taken up again', async (_, failure) => {
    const { engine } = await process()
    failures.push(failure)
    const id = await start(engine, { last: { type: 'echo', params: { value: { ok: true } } } })
    expect(await ended(id)).toMatchObject({ state: 'completed', result: { ok: true } })
    expect(failures).toEqual([])
    expect(await stored(id)).toMatchObject({ recoveries: 1 })
  })

  it('fails when its flow cannot be had any more', async () => {
    const { engine } = await process()
    const id = await acceptRun(engine, 'flow_that_is_not_there')
    expect(await ended(id)).toMatchObject({ state: 'failed', error: { message: 'no such flow' } })
  })

  it('ends cancelled once, its step aborted, and what the step does later changes nothing', async () => {
    const { engine, events } = await process()
    const id = await start(engine, { hold: { type: 'hold', next: { default: 'after' } }, after: { type: 'count' } })
    const step = await vi.waitUntil(() => held.get(id))
    expect(await database.dataSource.transaction((tx) => queries.cancel(tx, 'account_a', id, new Date()))).toEqual([id])
    await engine.cancelled([id])
    await vi.waitUntil(() => step.signal.aborted)
    expect(await database.dataSource.transaction((tx) => queries.cancel(tx, 'account_a', id, new Date()))).toEqual([])
    const told = await all(events.follow(id, 0, new AbortController().signal))
    expect(told.at(-1)).toMatchObject({ type: 'ended', state: 'cancelled' })
    expect(told.filter(({ type }) => type === 'ended')).toHaveLength(1)
    expect(counted.get(id)).toBeUndefined()
  })

  it('is stopped soon after its cancel, also when nobody tells its process', async () => {
    const { engine } = await process()
    const id = await start(engine, { hold: { type: 'hold' } })
    const step = await vi.waitUntil(() => held.get(id))
    await database.dataSource.transaction((tx) => queries.cancel(tx, 'account_a', id, new Date()))
    await vi.waitUntil(() => step.signal.aborted, { timeout: 10_000 })
  })

  it('is accepted once the database answers, by a process that started while it was away', async () => {
    const away = Object.create(database.sql, {
      client: { value: () => (isAway ? new pg.Client({ host: '127.0.0.1', port: 1 }) : database.sql.client()) },
    })
    let isAway = true
    const { engine } = await process(away)
    await expect(start(engine, { count: { type: 'count' } })).rejects.toBeInstanceOf(EngineNotReady)
    isAway = false
    const id = await vi.waitUntil(() => start(engine, { count: { type: 'count' } }).catch(() => undefined), 10_000)
    expect(await ended(id)).toMatchObject({ state: 'completed' })
  })

  it('begins no step behind an outcome that is recorded after its cancel, though nobody told its process', async () => {
    const { engine } = await process()
    const id = await start(engine, { hold: { type: 'hold', next: { default: 'after' } }, after: { type: 'count' } })
    const step = await vi.waitUntil(() => held.get(id))
    await database.dataSource.transaction((tx) => queries.cancel(tx, 'account_a', id, new Date()))
    step.release()
    await vi.waitUntil(() => step.signal.aborted)
    expect(counted.get(id)).toBeUndefined()
  })

  it('is told to watchers as it goes on', async () => {
    const { engine, events } = await process()
    const id = await start(engine, { hold: { type: 'hold' } })
    const told: WatchedEvent[] = []
    const watching = (async () => {
      for await (const event of events.follow(id, 0, new AbortController().signal)) told.push(event)
    })()
    await vi.waitUntil(() => told.some(({ type }) => type === 'node_started'))
    expect(told.some(({ type }) => type === 'ended')).toBe(false)
    ;(await vi.waitUntil(() => held.get(id))).release()
    await watching
    expect(told.at(-1)).toMatchObject({ type: 'ended', state: 'completed', result: { result: 'released' } })
  })

  it('is parked on a long sleep and taken up again when it is due, in another process too', async () => {
    const first = await process()
    const id = await start(first.engine, {
      count: { type: 'count', next: { default: 'nap' } },
      nap: { type: 'nap', params: { ms: 3_600_000 }, next: { default: 'last' } },
      last: { type: 'echo' },
    })
    await vi.waitUntil(async () => (await stored(id)).state === 'waiting')
    expect(await stored(id)).toMatchObject({ owner: null })
    await first.engine.stop(0)
    await database.dataSource.query(`update timer set due_at = now() where run_id = $1`, [id])
    await database.dataSource.query(`update run set wake_at = now() where id = $1`, [id])
    await process()
    expect(await ended(id)).toMatchObject({ state: 'completed' })
    expect(counted.get(id)).toBe(1)
  })

  it('goes on when its signal comes, whichever comes first', async () => {
    const { engine } = await process()
    const sender = signals()
    const waiting = await start(engine, { wait: { type: 'signal', params: { key: 'order-1' } } })
    await vi.waitUntil(async () => (await stored(waiting)).state === 'waiting')
    expect(await sender.deliver(caller('account_a'), 'order-1', { paid: true }, new Date())).toEqual({
      runIds: [waiting],
      kept: false,
    })
    expect(await ended(waiting)).toMatchObject({ state: 'completed', result: { paid: true } })

    expect(await sender.deliver(caller('account_a'), 'order-2', { paid: false }, new Date())).toEqual({
      runIds: [],
      kept: true,
    })
    expect(await sender.deliver(caller('account_b'), 'order-2', { foreign: true }, new Date())).toEqual({
      runIds: [],
      kept: true,
    })
    const later = await start(engine, { wait: { type: 'signal', params: { key: 'order-2' } } })
    expect(await ended(later)).toMatchObject({ state: 'completed', result: { paid: false } })
  })

  it('loses no signal that is sent while it is being parked', async () => {
    const { engine } = await process()
    const sender = signals()
    const keys = Array.from({ length: 50 }, (_, index) => `race-${index}`)
    const ids = await Promise.all(
      keys.map(async (key) => {
        const id = await start(engine, { wait: { type: 'signal', params: { key } } })
        await sender.deliver(caller('account_a'), key, { key }, new Date())
        return id
      }),
    )
    for (const [index, id] of ids.entries())
      expect(await ended(id)).toMatchObject({ state: 'completed', result: { key: `race-${index}` } })
  })

  it('is handed back when its process stops, and finished by the next', async () => {
    const first = await process()
    const id = await start(first.engine, {
      count: { type: 'count', next: { default: 'hold' } },
      hold: { type: 'hold' },
    })
    await vi.waitUntil(() => held.get(id))
    await first.engine.stop(0)
    expect(await stored(id)).toMatchObject({ state: 'queued', owner: null })
    held.clear()
    await process()
    ;(await vi.waitUntil(() => held.get(id))).release()
    expect(await ended(id)).toMatchObject({ state: 'completed' })
    expect(counted.get(id)).toBe(1)
  })

  it('is taken over from a process that is lost, which then writes nothing more', async () => {
    const lost = await process()
    const id = await start(lost.engine, {
      count: { type: 'count', next: { default: 'hold' } },
      hold: { type: 'hold', next: { default: 'last' } },
      last: { type: 'echo', params: { value: 'by whom' } },
    })
    const inLost = await vi.waitUntil(() => held.get(id))
    held.delete(id)
    // Its lease runs out: a process that was frozen, or cut off.
    await database.dataSource.query(`update engine_instance set lease_until = now() - interval '1 second'`)
    await process()
    const inSecond = await vi.waitUntil(() => held.get(id))
    inLost.release()
    inSecond.release()
    expect(await ended(id)).toMatchObject({ state: 'completed', result: { result: 'by whom' } })
    expect(counted.get(id)).toBe(1)
    expect(await stored(id)).toMatchObject({ recoveries: 1 })
  })

  it('is taken up when its accept was committed and the answer was lost', async () => {
    const { engine } = await process()
    await start(engine, { say: { type: 'say', params: { message: 'hello' } } })
    const [{ id: owner }] = await database.dataSource.query('select id from engine_instance')
    const id = newId('run')
    const flowId = newId('flow')
    graphs.set(flowId, { count: { type: 'count' } })
    await database.dataSource.query(
      `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, owner, created_at)
        values ($1, 'tenant_t', 'account_a', $2, 1, 'running', 'api', '{}', $3, now())`,
      [id, flowId, owner],
    )
    expect(await ended(id)).toMatchObject({ state: 'completed' })
    expect(counted.get(id)).toBe(1)
  })

  it('is accepted again once its process has lost its lease, though steps of before end late', async () => {
    const { engine } = await process()
    const stubborn = await start(engine, { deaf: { type: 'deaf' } })
    const step = await vi.waitUntil(() => held.get(stubborn))
    await database.dataSource.query('update engine_instance set lost_at = now()')
    const refused = start(engine, { count: { type: 'count' } })
    await expect(refused).rejects.toThrow(EngineNotReady)
    const id = await vi.waitUntil(() => start(engine, { hold: { type: 'hold' } }).catch(() => undefined))
    const ofNewClaim = await vi.waitUntil(() => held.get(id))
    const again = await vi.waitUntil(() => held.get(stubborn) !== step && held.get(stubborn))
    // It writes under its old claim; the new one is not lost by that.
    step.release()
    again.release()
    expect(await ended(stubborn)).toMatchObject({ state: 'completed', result: { result: 'at last' } })
    ofNewClaim.release()
    expect(await ended(id)).toMatchObject({ state: 'completed' })
    expect(await stored(id)).toMatchObject({ epoch: 0, recoveries: 0 })
  })

  it('tells after a recovery what had completed and was not told', async () => {
    const first = await process()
    const id = await start(first.engine, {
      count: { type: 'count', next: { default: 'hold' } },
      hold: { type: 'hold', next: { default: 'last' } },
      last: { type: 'echo' },
    })
    await vi.waitUntil(() => held.get(id))
    held.delete(id)
    await database.dataSource.query('delete from run_event_chunk where run_id = $1', [id])
    await database.dataSource.query(`update engine_instance set lease_until = now() - interval '1 second'`)
    const second = await process()
    ;(await vi.waitUntil(() => held.get(id))).release()
    await ended(id)
    const told = await all(second.events.follow(id, 0, new AbortController().signal))
    expect(told.map(({ seq }) => seq)).toEqual(told.map((_, index) => index + 1))
    const completed = told.flatMap((event) => (event.type === 'node_completed' ? [event.node] : []))
    expect(completed).toEqual(['count', 'hold', 'last'])
    expect(counted.get(id)).toBe(1)
  })

  it('waits in the queue while the process is full', async () => {
    const { engine } = await process()
    const ids = await Promise.all(Array.from({ length: 700 }, () => start(engine, { hold: { type: 'hold' } })))
    await vi.waitUntil(() => held.size >= 500)
    const [{ queued }] = await database.dataSource.query(
      `select count(*)::int as queued from run where state = 'queued'`,
    )
    expect(queued).toBeGreaterThan(0)
    const releasing = setInterval(() => {
      for (const { release } of held.values()) release()
    }, 20)
    for (const id of ids) expect(await ended(id)).toMatchObject({ state: 'completed' })
    clearInterval(releasing)
  })
})

function signals(): SignalsService {
  return new SignalsService(database.sql, database.dataSource, new AuditTrail(), systemClock)
}

function caller(accountId: string) {
  return { accountId, tenantId: 'tenant_t', email: 'a@example.com' }
}

async function process(sql = database.sql): Promise<EngineProcess> {
  const onTaken = () => {
    const failure = failures.pop()
    if (failure) throw failure
  }
  const started = await engineProcess({ sql, steps, graphs, signals: signals(), onTaken })
  engines.push(started.engine)
  return started
}

async function start(engine: RunEngine, nodes: Record<string, FakeNode>): Promise<string> {
  const flowId = newId('flow')
  graphs.set(flowId, nodes)
  return await acceptRun(engine, flowId)
}

async function ended(id: string) {
  return await vi.waitUntil(
    async () => {
      const run = await queries.find('account_a', id)
      return run?.finishedAt && run
    },
    { timeout: 15_000, interval: 10 },
  )
}

async function stored(id: string) {
  const [row] = await database.dataSource.query('select * from run where id = $1', [id])
  return row
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}
