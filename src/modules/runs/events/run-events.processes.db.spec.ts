import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { noRedis, RedisServer } from '../../../../test/support/peers/redis.js'
import { type FakeNode, fakeSteps, stepType } from '../../../engine/flow.fake.js'
import { acceptRun, type EngineProcess, engineProcess } from '../run-engine.fake.js'
import { RUN_HINT } from '../run-hints.js'
import type { WatchedEvent } from './run-events.js'

let database: TestDatabase
let redis: RedisServer | undefined
const processes: EngineProcess[] = []
const graphs = new Map<string, Record<string, FakeNode>>()
/** What `say` steps wait for, by run: each call lets it say one line more; the last word ends the step. */
const prompts = new Map<string, (line: string | undefined) => void>()

const steps = [
  ...fakeSteps,
  stepType('say', async (_, step) => {
    for (;;) {
      const line = await new Promise<string | undefined>((resolve, reject) => {
        prompts.set(step.run.id, resolve)
        step.signal.addEventListener('abort', () => reject(step.signal.reason), { once: true })
      })
      if (line === undefined) return { output: 'said' }
      step.log('info', line)
    }
  }),
]

beforeAll(async () => {
  database = await testDatabase()
  graphs.set('flow_say', { say: { type: 'say' } })
  if (!noRedis) redis = await RedisServer.start()
})

afterEach(async () => {
  for (const prompt of prompts.values()) prompt(undefined)
  prompts.clear()
  await Promise.all(processes.splice(0).map(({ engine }) => engine.stop(1_000)))
  // A run that a failed test left would be taken up by the next one's processes.
  await database.dataSource.query('delete from run')
  await database.dataSource.query('delete from engine_instance')
  await redis?.restart()
})

afterAll(async () => {
  await redis?.stop()
  await database.drop()
})

const routes = [{ by: 'Postgres' }, ...(noRedis ? [] : [{ by: 'Redis' }])]

describe.each(routes)('events of a run that another process works on, with hints by $by', ({ by }) => {
  let owner: EngineProcess
  let watching: EngineProcess

  beforeEach(async () => {
    ;[owner, watching] = [await process(by), await process(by)]
  })

  it('come within tens of milliseconds each, the end too, and each once', async () => {
    const id = await acceptRun(owner.engine, 'flow_say')
    const { told, over } = watch(watching, id)
    // What was kept back when the watcher came is written for it.
    await vi.waitUntil(() => lines(told).includes('node_started'))
    const delays: number[] = []
    for (let count = 1; count <= 20; count++) {
      const began = performance.now()
      await prompt(id, `line ${count}`)
      await vi.waitUntil(() => lines(told).includes(`line ${count}`), { interval: 1 })
      delays.push(performance.now() - began)
    }
    delays.sort((one, other) => one - other)
    // Without a hint the median would be 1,500 ms.
    expect(delays[10]).toBeLessThan(1_000)
    await prompt(id, undefined)
    await over
    expectWhole(told)
    expect(told.at(-1)).toMatchObject({ type: 'ended', state: 'completed', result: { result: 'said' } })
  })

  it('come to many watchers, whenever they came, and go on where one left off', async () => {
    const id = await acceptRun(owner.engine, 'flow_say')
    const early = [watch(watching, id), watch(owner, id)]
    for (let count = 1; count <= 5; count++) await prompt(id, `line ${count}`)
    const late = watch(watching, id)
    await vi.waitUntil(() => [...early, late].every(({ told }) => lines(told).includes('line 5')))
    const left = late.told.length
    late.leave()
    await late.over
    for (let count = 6; count <= 10; count++) await prompt(id, `line ${count}`)
    const resumed = watch(watching, id, left)
    await prompt(id, undefined)
    await Promise.all([...early, resumed].map(({ over }) => over))
    for (const { told } of early) expectWhole(told)
    expectWhole([...late.told, ...resumed.told])
  })

  it('go on when the process that worked on it is gone and another has it', async () => {
    const id = await acceptRun(owner.engine, 'flow_say')
    const { told, over } = watch(watching, id)
    await prompt(id, 'before')
    await vi.waitUntil(() => lines(told).includes('before'))
    prompts.delete(id)
    const third = await process(by)
    await database.dataSource.query(
      `update engine_instance set lease_until = now() - interval '1 second' where id = (
      select owner from run where id = $1)`,
      [id],
    )
    await prompt(id, 'after')
    await vi.waitUntil(() => lines(told).includes('after'), { timeout: 10_000 })
    await prompt(id, undefined)
    await over
    expectWhole(told)
    // The step is begun anew, and that it has begun is no news.
    expect(lines(told).filter((line) => line === 'node_started')).toHaveLength(1)
    expect(third.events.watched('run_other')).toBe(false)
  }, 60_000)

  it('end with a cancel, wherever it was asked for', async () => {
    const id = await acceptRun(owner.engine, 'flow_say')
    const { told, over } = watch(watching, id)
    await vi.waitUntil(() => told.length > 0)
    await database.dataSource.query(`update run set state = 'cancelled', finished_at = now() where id = $1`, [id])
    await watching.engine.cancelled([id])
    await over
    expectWhole(told)
    expect(told.at(-1)).toMatchObject({ type: 'ended', state: 'cancelled' })
    await vi.waitUntil(() => owner.engine.standing?.active === 0)
  })
})

describe('a hint that is not true', () => {
  it('changes nothing, whoever sends it', async () => {
    const owner = await process('Postgres')
    const id = await acceptRun(owner.engine, 'flow_say')
    const { told, over } = watch(owner, id)
    await prompt(id, 'before')
    const kinds = [RUN_HINT.cancelled, RUN_HINT.events, RUN_HINT.watched, RUN_HINT.due]
    for (const kind of kinds)
      for (const hinted of [id, 'run_that_is_not', `'; drop table run; --`])
        await database.dataSource.query(`select pg_notify('millrace_hints', $1)`, [
          JSON.stringify(['x', kind, [hinted]]),
        ])
    await vi.waitUntil(() => owner.events.watched('run_that_is_not'))
    await prompt(id, 'after')
    await prompt(id, undefined)
    await over
    expectWhole(told)
    expect(lines(told).filter((line) => line === 'node_started')).toHaveLength(1)
    expect(told.at(-1)).toMatchObject({ type: 'ended', state: 'completed' })
  })
})

describe.skipIf(noRedis)('events of a run that another process works on, while Redis is killed and comes back', () => {
  it('lose nothing and double nothing', async () => {
    const [owner, watching] = [await process('Redis'), await process('Redis')]
    const id = await acceptRun(owner.engine, 'flow_say')
    const { told, over } = watch(watching, id)
    let count = 0
    const say = async () => {
      await prompt(id, `line ${++count}`)
      await vi.waitUntil(() => lines(told).includes(`line ${count}`), { interval: 1, timeout: 10_000 })
    }
    for (let first = 0; first < 5; first++) await say()
    await redis?.kill()
    for (let without = 0; without < 5; without++) await say()
    await redis?.restart()
    for (let again = 0; again < 5; again++) await say()
    await redis?.flushAll()
    redis?.freeze()
    await say()
    redis?.thaw()
    await say()
    await prompt(id, undefined)
    await over
    expectWhole(told)
  }, 60_000)
})

async function process(by: string): Promise<EngineProcess> {
  const redisUrl = by === 'Redis' ? redis?.url : undefined
  const started = await engineProcess({ sql: database.sql, steps, graphs, redisUrl })
  processes.push(started)
  return started
}

/** Lets the run say a line, once it is ready for one. */
async function prompt(id: string, line: string | undefined): Promise<void> {
  const resolve = await vi.waitUntil(() => prompts.get(id), { interval: 1, timeout: 10_000 })
  prompts.delete(id)
  resolve(line)
}

function watch({ events }: EngineProcess, id: string, after = 0) {
  const told: WatchedEvent[] = []
  const controller = new AbortController()
  const over = (async () => {
    for await (const event of events.follow(id, after, controller.signal)) told.push(event)
  })()
  return { told, over, leave: () => controller.abort() }
}

function lines(told: readonly WatchedEvent[]): string[] {
  return told.map((event) => (event.type === 'log' ? (event.message ?? '') : event.type))
}

function expectWhole(told: readonly WatchedEvent[]): void {
  expect(told.map(({ seq }) => seq)).toEqual(told.map((_, index) => index + 1))
  expect(lines(told).filter((line) => line === 'ended')).toHaveLength(1)
  expect(told.at(-1)?.type).toBe('ended')
}
