import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { noRedis, RedisServer } from '../../../../test/support/peers/redis.js'
import type { FakeNode } from '../../../engine/flow.fake.js'
import type { RunEngine } from '../run-engine.js'
import { Processes } from './processes.fake.js'

// Those that wait for many runs give them up to half a minute.
vi.setConfig({ testTimeout: 60_000 })

const COUNT: Record<string, FakeNode> = { count: { type: 'count' } }
const COUNT_AND_HOLD: Record<string, FakeNode> = {
  count: { type: 'count', next: { default: 'hold' } },
  hold: { type: 'hold', next: { default: 'again' } },
  again: { type: 'count' },
}

describe.skipIf(noRedis)('runs by way of Redis', () => {
  let database: TestDatabase
  let redis: RedisServer
  let processes: Processes

  beforeAll(async () => {
    database = await testDatabase()
    redis = await RedisServer.start()
    processes = new Processes(database)
  })

  afterEach(async () => {
    await processes.stopAll()
    await redis.restart()
  })

  afterAll(async () => {
    await redis?.stop()
    await database?.drop()
  })

  it('go from a process that takes none to the workers of their tag, and leave nothing in Redis', async () => {
    const api = await dispatcher()
    await worker({ tags: ['default'] })
    await worker({ tags: ['gpu'] })
    const ids = await Promise.all(
      Array.from({ length: 200 }, (_, n) => processes.accept(api, COUNT, { tag: n % 4 ? 'default' : 'gpu' })),
    )
    await processes.ended(ids)
    for (const [n, id] of ids.entries()) expect(processes.counted.get(id)).toEqual([n % 4 ? 'process 2' : 'process 3'])
    await vi.waitUntil(async () => (await jobs()).length === 0)
  })

  it('come by a queue: most of them while the look at the table has nothing to do with it', async () => {
    const api = await dispatcher()
    await worker({})
    const monitored = await handedOver(async () => {
      const ids = await Promise.all(Array.from({ length: 50 }, () => processes.accept(api, COUNT)))
      await processes.ended(ids)
    })
    expect(monitored).toBeGreaterThan(40)
  })

  it('wait in the table and not in the queue beyond what workers have room for, so that what is urgent overtakes', async () => {
    const api = await dispatcher()
    await worker({ maxActive: 4 })
    const hold: Record<string, FakeNode> = { hold: { type: 'hold' } }
    const ordinary = await Promise.all(Array.from({ length: 40 }, () => processes.accept(api, hold)))
    await vi.waitUntil(() => processes.held.size === 4)
    await vi.waitUntil(async () => (await jobs()).length === 8)
    const urgent = await processes.accept(api, hold, { priority: 50 })
    const cancelled = ordinary.slice(20)
    await database.dataSource.query(
      `update run set state = 'cancelled', wake_at = null where id = any ($1) and state = 'queued'`,
      [cancelled],
    )
    for (const { release } of [...processes.held.values()]) release()
    await vi.waitUntil(() => processes.held.size >= 8)
    expect([...processes.held.keys()].slice(4, 8)).toContain(urgent)
    const releasing = setInterval(() => {
      for (const { release } of processes.held.values()) release()
    }, 5)
    await processes.ended([...ordinary, urgent])
    clearInterval(releasing)
  })

  it('survive FLUSHALL in their midst, nothing lost and nothing run twice', async () => {
    const api = await dispatcher()
    await worker({ maxActive: 5 })
    await worker({ maxActive: 5 })
    const ids = await Promise.all(Array.from({ length: 60 }, () => processes.accept(api, COUNT_AND_HOLD)))
    await vi.waitUntil(() => processes.held.size === 10)
    await redis.flushAll()
    await releaseAll(ids)
    for (const id of ids) expect(processes.counted.get(id)).toHaveLength(2)
  })

  it('survive a Redis that is killed and comes back, and go on while it is away', async () => {
    const api = await dispatcher()
    const busy = await worker({ maxActive: 5 })
    const first = await Promise.all(Array.from({ length: 20 }, () => processes.accept(api, COUNT_AND_HOLD)))
    await vi.waitUntil(() => processes.held.size === 5)
    await redis.kill()
    // Nobody waits for Redis: not those who are accepted, nor those who are worked on.
    const meanwhile = await Promise.all(Array.from({ length: 20 }, () => processes.accept(api, COUNT_AND_HOLD)))
    await releaseAll([...first, ...meanwhile])
    await redis.restart()
    await vi.waitUntil(() => processes.queues.get(busy)?.isOpen && processes.queues.get(api)?.isOpen, {
      timeout: 10_000,
    })
    const monitored = await handedOver(async () => {
      const after = await Promise.all(Array.from({ length: 50 }, () => processes.accept(api, COUNT)))
      await processes.ended(after)
      for (const id of after) expect(processes.counted.get(id)).toHaveLength(1)
    })
    expect(monitored).toBeGreaterThan(40)
    for (const id of [...first, ...meanwhile]) expect(processes.counted.get(id)).toHaveLength(2)
  })

  it('go on while Redis hangs', async () => {
    const api = await dispatcher()
    await worker({ maxActive: 5 })
    redis.freeze()
    try {
      const began = performance.now()
      const ids = await Promise.all(Array.from({ length: 20 }, () => processes.accept(api, COUNT)))
      expect(performance.now() - began).toBeLessThan(1_500)
      await processes.ended(ids)
      for (const id of ids) expect(processes.counted.get(id)).toHaveLength(1)
    } finally {
      redis.thaw()
    }
  })

  it('of a worker that is gone are finished by another, and its finished steps are not run again', async () => {
    const api = await dispatcher()
    const lost = await worker({ maxActive: 10 })
    const ids = await Promise.all(Array.from({ length: 10 }, () => processes.accept(api, COUNT_AND_HOLD)))
    await vi.waitUntil(() => processes.held.size === 10)
    const before = new Map(processes.held)
    processes.held.clear()
    await worker({ maxActive: 10 })
    // Frozen for longer than its lease, or killed: to the others it is the same.
    await database.dataSource.query(
      `update engine_instance set lease_until = now() - interval '1 second' where capacity = 10 and id = (select min(id) from engine_instance where capacity = 10)`,
    )
    await vi.waitUntil(() => processes.held.size === 10, { timeout: 20_000 })
    // It wakes up, and what it still does counts for nothing.
    for (const { release } of before.values()) release()
    await releaseAll(ids)
    for (const id of ids) expect(processes.counted.get(id)?.slice(0, 1)).toEqual(['process 2'])
    for (const id of ids) expect(processes.counted.get(id)?.filter((name) => name === 'process 3')).toHaveLength(1)
    await processes.stop(lost)
  })

  it('are given up by a worker that loses its lease while it has no place for them, and taken once it begins anew', async () => {
    const api = await dispatcher()
    await worker({ maxActive: 2 })
    const ids = await Promise.all(Array.from({ length: 12 }, () => processes.accept(api, COUNT_AND_HOLD)))
    await vi.waitUntil(() => processes.held.size === 2)
    await database.dataSource.query('update engine_instance set lost_at = now() where capacity > 0')
    await releaseAll(ids)
    expect(await processes.states(ids)).toEqual({ completed: 12 })
    await vi.waitUntil(async () => (await jobs()).length === 0, { timeout: 20_000 })
  })

  it('are handed back by a worker that stops, and its connections end', async () => {
    const api = await dispatcher()
    const leaving = await worker({ maxActive: 10 })
    const ids = await Promise.all(Array.from({ length: 10 }, () => processes.accept(api, COUNT_AND_HOLD)))
    await vi.waitUntil(() => processes.held.size === 10)
    processes.held.clear()
    await processes.stop(leaving)
    expect(await processes.states(ids)).toEqual({ queued: 10 })
    await vi.waitUntil(async () => (await clients()) === 1)
    await worker({ maxActive: 10 })
    await releaseAll(ids)
    for (const id of ids) expect(processes.counted.get(id)).toEqual(['process 2', 'process 3'])
  })

  async function dispatcher(): Promise<RunEngine> {
    return await open(await processes.start({ maxActive: 0, redisUrl: redis.url }))
  }

  async function worker(options: { tags?: string[]; maxActive?: number }): Promise<RunEngine> {
    return await open(await processes.start({ redisUrl: redis.url, takes: true, ...options }))
  }

  async function open(engine: RunEngine): Promise<RunEngine> {
    await vi.waitUntil(() => processes.queues.get(engine)?.isOpen, { timeout: 10_000 })
    return engine
  }

  async function releaseAll(ids: readonly string[]): Promise<void> {
    const releasing = setInterval(() => {
      for (const { release } of processes.held.values()) release()
    }, 5)
    try {
      await processes.ended(ids, 50_000)
    } finally {
      clearInterval(releasing)
    }
  }

  /** The jobs that are in Redis. */
  async function jobs(): Promise<string[]> {
    const answer = await redis.command('KEYS millrace:runs.*:run_*')
    return answer.split('\r\n').filter((line) => line.includes('run_') && !line.endsWith(':lock'))
  }

  async function clients(): Promise<number> {
    const answer = await redis.command('CLIENT LIST')
    return answer.split('\n').filter((line) => line.includes('name=m')).length
  }

  /** How many jobs were added while `work` went on. */
  async function handedOver(work: () => Promise<void>): Promise<number> {
    const read = async () =>
      Number(/:(\d+)|\$\d+\r\n(\d+)/.exec(await redis.command('GET millrace:runs.default:id'))?.[2] ?? 0)
    const before = await read()
    await work()
    return (await read()) - before
  }
})
