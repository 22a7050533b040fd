import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { type FakeNode, fakeSteps, stepType } from '../../../engine/flow.fake.js'
import { acceptRun, type EngineProcess, engineProcess } from '../run-engine.fake.js'

let database: TestDatabase
let running: EngineProcess
const graphs = new Map<string, Record<string, FakeNode>>()
/** The `hold` steps that were begun, by run, the oldest first: each is ended by the test. */
const held = new Map<string, { release(): void; signal: AbortSignal }[]>()
const now = performance.now.bind(performance)
let frozenMs = 0

const hold = stepType(
  'hold',
  (_, step) =>
    new Promise((resolve) => {
      const begun = { release: () => resolve({ output: 'secret' }), signal: step.signal }
      held.set(step.run.id, [...(held.get(step.run.id) ?? []), begun])
    }),
  { stepClass: 'effect' },
)
let counted = 0
const count = stepType('count', () => ({ output: ++counted }), { stepClass: 'effect' })
/** Called while the outcome of the step before `send` is on its way to the database. */
let beforeSending: (() => void) | undefined
const send = stepType('send', () => ({ output: ++counted }), {
  stepClass: 'effect',
  classOf: () => {
    beforeSending?.()
    return 'effect'
  },
})

beforeAll(async () => {
  database = await testDatabase()
  graphs.set('flow_hold', {
    hold: { type: 'hold', next: { default: 'nap' } },
    nap: { type: 'nap', params: { ms: 1_500 }, next: { default: 'count' } },
    count: { type: 'count' },
  })
  graphs.set('flow_send', { first: { type: 'count', next: { default: 'send' } }, send: { type: 'send' } })
  running = await engineProcess({ sql: database.sql, steps: [...fakeSteps, hold, count, send], graphs })
  vi.spyOn(performance, 'now').mockImplementation(() => now() + frozenMs)
})

beforeEach(() => {
  counted = 0
})

afterAll(async () => {
  for (const { release } of [...held.values()].flat()) release()
  await running.engine.stop(0)
  vi.restoreAllMocks()
  await database.drop()
})

describe('a process that was frozen for longer than its lease', () => {
  it('sends nothing of what it holds, though nobody has taken over yet, and begins anew', async () => {
    const id = await acceptRun(running.engine, 'flow_hold')
    const first = await holding(id, 0)
    const before = await instance()
    freeze()
    first.release()
    await vi.waitUntil(() => first.signal.aborted)
    expect(await database.dataSource.query('select path from step_outcome where run_id = $1', [id])).toEqual([])
    // It has its run again under another name, and does again what was not recorded.
    const again = await holding(id, 1)
    expect((await instance()).id).not.toBe(before.id)
    again.release()
    await vi.waitUntil(async () => (await stored(id)).state === 'completed')
    expect(await stored(id)).toMatchObject({ recoveries: 1, stalls: 1 })
    expect(counted).toBe(1)
    const late = await database.dataSource.query(
      'select path, attempt, engine, state from late_outcome where run_id = $1',
      [id],
    )
    expect(late).toEqual([{ path: 'hold', attempt: 1, engine: before.id, state: 'succeeded' }])
  }, 60_000)

  it('does not go on with a wait that was over meanwhile', async () => {
    const id = await acceptRun(running.engine, 'flow_hold')
    const step = await holding(id, 0)
    step.release()
    await vi.waitUntil(
      async () => (await database.dataSource.query('select from timer where run_id = $1', [id])).length,
    )
    expect(await stored(id)).toMatchObject({ state: 'running', epoch: 0 })
    freeze()
    await vi.waitUntil(async () => (await stored(id)).state === 'completed')
    // By the new claim, and by it alone.
    expect(await stored(id)).toMatchObject({ epoch: 2, recoveries: 1, stalls: 0 })
    expect(counted).toBe(1)
  }, 60_000)

  it('does not go on from an answer that had come meanwhile', async () => {
    const before = await instance()
    beforeSending = () => {
      beforeSending = undefined
      // The flush goes out in this turn of the event loop, and its answer comes in a later one.
      setImmediate(freeze)
    }
    const id = await acceptRun(running.engine, 'flow_send')
    await vi.waitUntil(async () => (await stored(id)).state === 'completed')
    expect((await instance()).id).not.toBe(before.id)
    // The first step was recorded, and the second began under the new claim alone.
    expect(await stored(id)).toMatchObject({ recoveries: 1, stalls: 0 })
    expect(counted).toBe(2)
  }, 60_000)
})

/** For longer than its lease, as its monotonic clock tells it when it goes on. */
function freeze(): void {
  frozenMs += 20_000
}

/** The run's step, once it was begun so many times before. */
async function holding(id: string, before: number) {
  return await vi.waitUntil(() => held.get(id)?.[before])
}

async function instance(): Promise<{ id: string }> {
  const [newest] = await database.dataSource.query('select id from engine_instance order by fence desc limit 1')
  return newest
}

async function stored(id: string) {
  const [row] = await database.dataSource.query('select * from run where id = $1', [id])
  return row
}
