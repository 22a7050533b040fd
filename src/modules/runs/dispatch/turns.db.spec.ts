import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { noRedis, RedisServer } from '../../../../test/support/peers/redis.js'
import type { FakeNode } from '../../../engine/flow.fake.js'
import type { RunEngine } from '../run-engine.js'
import { Processes } from './processes.fake.js'
import { queueFlood, queueRuns } from './queued-runs.fake.js'

const COUNT: Record<string, FakeNode> = { count: { type: 'count' } }
const HOLD: Record<string, FakeNode> = { hold: { type: 'hold' } }
const LIGHT = { accountId: 'account_light' }

let database: TestDatabase
let processes: Processes
const releasing = new Set<NodeJS.Timeout>()

beforeAll(async () => {
  database = await testDatabase()
  processes = new Processes(database)
})

afterEach(async () => {
  for (const timer of releasing) clearInterval(timer)
  releasing.clear()
  await processes.stopAll()
})

afterAll(() => database.drop())

describe('accounts take turns', () => {
  it('with 10,000 runs of one in the table, over two processes: ten of another are among the first', async () => {
    processes.flow('flow_f', COUNT)
    await queueFlood(database.dataSource, 'account_heavy', 10_000)
    const light = await queueRuns(
      database.dataSource,
      Array.from({ length: 10 }, () => ({ account: 'account_light' })),
    )
    await Promise.all([processes.start({ maxActive: 20 }), processes.start({ maxActive: 20 })])
    await processes.ended(light)
    const order = [...processes.counted.keys()]
    const last = Math.max(...light.map((id) => order.indexOf(id)))
    // Each process fills its 20 places with ten of each, and what else begins until the light ones have ended is little.
    expect(last).toBeLessThan(200)
  })

  it('in a process with one place', async () => {
    const accepting = await processes.start({ maxActive: 0 })
    const heavy: string[] = []
    for (let n = 0; n < 12; n++) heavy.push(await processes.accept(accepting, HOLD))
    const light = [await processes.accept(accepting, HOLD, LIGHT), await processes.accept(accepting, HOLD, LIGHT)]
    await processes.start({ maxActive: 1 })
    releaseAll()
    await processes.ended([...heavy, ...light])
    const order = [...processes.held.keys()]
    expect(Math.max(...light.map((id) => order.indexOf(id)))).toBeLessThan(5)
    // What is urgent, or older, comes first within its account.
    expect(order.filter((id) => heavy.includes(id))).toEqual(heavy)
  })

  it('whatever priority one of them gives its runs', async () => {
    const accepting = await processes.start({ maxActive: 0 })
    const heavy: string[] = []
    for (let n = 0; n < 12; n++) heavy.push(await processes.accept(accepting, HOLD, { priority: 100 }))
    const light = await processes.accept(accepting, HOLD, { ...LIGHT, priority: -100 })
    await processes.start({ maxActive: 1 })
    releaseAll()
    await processes.ended([...heavy, light])
    expect([...processes.held.keys()].indexOf(light)).toBeLessThan(3)
  })

  it('also while one never stops sending: what it sends does not pass those that wait', async () => {
    const accepting = await processes.start({ maxActive: 4 })
    const heavy = await Promise.all(Array.from({ length: 4 }, () => processes.accept(accepting, HOLD)))
    await vi.waitUntil(() => processes.held.size === 4)
    // Its place beyond the usual ones is taken, and so it waits like everybody.
    const light = [await processes.accept(accepting, HOLD, LIGHT), await processes.accept(accepting, HOLD, LIGHT)]
    await processes.heldBy(light[0] as string)
    expect(await processes.states(light)).toEqual({ running: 1, queued: 1 })
    const more: Promise<string>[] = []
    for (const { release } of [...processes.held.values()].slice(0, 2)) release()
    for (let n = 0; n < 20; n++) {
      more.push(processes.accept(accepting, HOLD))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await processes.heldBy(light[1] as string)
    const order = [...processes.held.keys()]
    expect(order.indexOf(light[1] as string)).toBeLessThan(8)
    releaseAll()
    await processes.ended([...heavy, ...light, ...(await Promise.all(more))])
  })

  it('and one whose runs are long leaves others a place beside them', async () => {
    const engine = await processes.start({ maxActive: 20 })
    const heavy = await Promise.all(Array.from({ length: 40 }, () => processes.accept(engine, HOLD)))
    await vi.waitUntil(() => processes.held.size === 20)
    const accepted = await processes.accept(engine, HOLD, LIGHT)
    await processes.heldBy(accepted)
    // Queued elsewhere, it is found.
    const accepting = await processes.start({ maxActive: 0 })
    const queued = await processes.accept(accepting, HOLD, { accountId: 'account_third' })
    await processes.heldBy(queued)
    expect(processes.held.size).toBe(22)
    releaseAll()
    await processes.ended([...heavy, accepted, queued])
  })
})

describe.skipIf(noRedis)('accounts take turns by way of Redis', () => {
  let redis: RedisServer

  beforeAll(async () => {
    redis = await RedisServer.start()
  })

  afterEach(() => redis.flushAll())

  afterAll(() => redis?.stop())

  it('with 10,000 runs of one in the table and its queue full of them, over two workers', async () => {
    processes.flow('flow_f', COUNT)
    await queueFlood(database.dataSource, 'account_heavy', 10_000)
    const api = await open(await processes.start({ maxActive: 0, redisUrl: redis.url }))
    await open(await processes.start({ maxActive: 20, redisUrl: redis.url, takes: true }))
    await open(await processes.start({ maxActive: 20, redisUrl: redis.url, takes: true }))
    await vi.waitUntil(() => processes.counted.size > 200, { timeout: 15_000 })
    const light: string[] = []
    const before = processes.counted.size
    for (let n = 0; n < 10; n++) light.push(await processes.accept(api, COUNT, LIGHT))
    await processes.ended(light)
    const order = [...processes.counted.keys()]
    const last = Math.max(...light.map((id) => order.indexOf(id)))
    expect(order.length).toBeLessThan(10_010)
    expect(last - before).toBeLessThan(2_000)
  })

  it('where all places and the queue are one account’s, and its runs are long or urgent', async () => {
    const api = await open(await processes.start({ maxActive: 0, redisUrl: redis.url }))
    await open(await processes.start({ maxActive: 4, redisUrl: redis.url, takes: true }))
    const heavy = await Promise.all(Array.from({ length: 30 }, () => processes.accept(api, HOLD, { priority: 100 })))
    await vi.waitUntil(() => processes.held.size === 4)
    const light = [await processes.accept(api, HOLD, LIGHT), await processes.accept(api, HOLD, LIGHT)]
    // The first has the place beyond the usual ones.
    await processes.heldBy(light[0] as string)
    expect(processes.held.size).toBe(5)
    // The first place that is free after that is the second's, and not the next's of those that wait for longer.
    for (const { release } of [...processes.held.values()].slice(0, 2)) release()
    await processes.heldBy(light[1] as string)
    expect(processes.held.size).toBe(6)
    releaseAll()
    await processes.ended([...heavy, ...light])
    for (const id of [...heavy, ...light]) expect(await processes.states([id])).toEqual({ completed: 1 })
  })

  async function open(engine: RunEngine): Promise<RunEngine> {
    await vi.waitUntil(() => processes.queues.get(engine)?.isOpen, { timeout: 10_000 })
    return engine
  }
})

/** Whatever is held from now on goes on at once. */
function releaseAll(): void {
  const timer = setInterval(() => {
    for (const { release } of processes.held.values()) release()
  }, 5)
  releasing.add(timer)
}
