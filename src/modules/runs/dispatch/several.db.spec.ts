import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import type { FakeNode } from '../../../engine/flow.fake.js'
import { Processes } from './processes.fake.js'

// Those that wait for many runs give them up to half a minute.
vi.setConfig({ testTimeout: 60_000 })

const HOLD: Record<string, FakeNode> = { hold: { type: 'hold' } }

let database: TestDatabase
let processes: Processes

beforeAll(async () => {
  database = await testDatabase()
  processes = new Processes(database)
})

afterEach(() => processes.stopAll())

afterAll(() => database.drop())

describe('several processes on one database', () => {
  it('share what the accepting one has no room for, without waiting to look', async () => {
    const [full] = [await processes.start({ maxActive: 5 }), await processes.start({ maxActive: 50 })]
    const ids = await Promise.all(Array.from({ length: 40 }, () => processes.accept(full, HOLD)))
    await vi.waitUntil(() => processes.held.size === 40, { timeout: 10_000 })
    const by = Map.groupBy(processes.held.values(), ({ process }) => process)
    expect(by.get('process 1')).toHaveLength(5)
    expect(by.get('process 2')).toHaveLength(35)
    release()
    await processes.ended(ids)
  })

  it('leave each other the tags that they do not serve', async () => {
    const [one] = [await processes.start({}), await processes.start({ tags: ['gpu', 'big'] })]
    const tagged = ['gpu', 'default', 'big', 'nobody']
    const ids = await Promise.all(tagged.map((tag) => processes.accept(one, HOLD, { tag })))
    const served = await Promise.all(ids.slice(0, 3).map((id) => processes.heldBy(id)))
    expect(served.map(({ process }) => process)).toEqual(['process 2', 'process 1', 'process 2'])
    expect(await processes.states(ids.slice(3))).toEqual({ queued: 1 })
    await processes.start({ tags: ['nobody'] })
    await processes.heldBy(ids[3] ?? '')
  })

  it('take what is urgent first, then what came first', async () => {
    const accepting = await processes.start({ maxActive: 0 })
    const ids: string[] = []
    for (const priority of [0, -1, 5, 0]) ids.push(await processes.accept(accepting, HOLD, { priority }))
    await processes.start({ maxActive: 1 })
    const order: string[] = []
    while (order.length < 4) {
      const next = await vi.waitUntil(() => [...processes.held.keys()].find((id) => !order.includes(id)), {
        timeout: 10_000,
      })
      order.push(next)
      processes.held.get(next)?.release()
    }
    expect(order).toEqual([ids[2], ids[0], ids[3], ids[1]])
  })

  it('tell truthfully what became of a run that they accept', async () => {
    const engine = await processes.start({ maxActive: 1 })
    const run = (members: object = {}) => ({
      id: `run_${Math.random()}`,
      tenantId: 'tenant_t',
      accountId: 'account_a',
      flowId: 'flow_f',
      revision: 1,
      trigger: 'api' as const,
      input: {},
      createdAt: new Date(),
      ...members,
    })
    await processes.accept(engine, HOLD)
    expect(await engine.accept(run())).toMatchObject({ state: 'queued' })
    expect(await engine.accept(run({ tag: 'gpu' }))).toMatchObject({ state: 'queued' })
    expect(await engine.accept(run({ concurrency: { key: 'k', limit: 1 } }))).toMatchObject({ state: 'queued' })
  })
})

describe('a limit on runs with a key', () => {
  it('holds over four processes and many keys, one of which is lost in their midst; all slots are free at the end', async () => {
    const four = [await processes.start(), await processes.start(), await processes.start(), await processes.start()]
    const most = watchSlots()
    const ids = await Promise.all(
      Array.from({ length: 400 }, (_, n) => {
        const key = `k${n % 13}`
        const concurrency = { key, limit: 1 + ((n % 13) % 3) }
        const engine = four[n % 4]
        if (!engine) throw new Error('there are four')
        return processes.accept(engine, { inside: { type: 'inside', params: { key } } }, { concurrency })
      }),
    )
    await vi.waitUntil(async () => ((await processes.states(ids)).completed ?? 0) > 50, { timeout: 30_000 })
    await database.dataSource.query(
      `update engine_instance set lease_until = now() - interval '1 second' where id = (select min(id) from engine_instance)`,
    )
    await processes.ended(ids, 60_000)
    expect(await processes.states(ids)).toEqual({ completed: 400 })
    for (const [key, { most: inside }] of processes.inside) expect([key, inside <= limitOf(key)]).toEqual([key, true])
    const taken = [...(await most())]
    for (const [key, most] of taken) expect([key, most <= limitOf(key)]).toEqual([key, true])
    expect(Math.max(...taken.map(([, most]) => most))).toBe(3)
    const [{ held }] = await database.dataSource.query(
      `select count(*)::int as held from run where state in ('queued', 'running', 'waiting')`,
    )
    expect(held).toBe(0)
  }, 120_000)

  it('counts no run that waits, and lets in again those whose wait is over', async () => {
    const engine = await processes.start()
    const concurrency = { key: 'k', limit: 1 }
    const waiting = await processes.accept(
      engine,
      { nap: { type: 'nap', params: { ms: 3_600_000 }, next: { default: 'hold' } }, ...HOLD },
      { concurrency },
    )
    await vi.waitUntil(async () => (await processes.states([waiting])).waiting === 1, { timeout: 10_000 })
    const next = await processes.accept(engine, HOLD, { concurrency })
    const holding = await processes.heldBy(next)
    await database.dataSource.query(`update timer set due_at = now() where run_id = $1`, [waiting])
    await database.dataSource.query(`update run set wake_at = now() where id = $1`, [waiting])
    await vi.waitUntil(async () => (await processes.states([waiting])).queued === 1, { timeout: 10_000 })
    expect(processes.held.has(waiting)).toBe(false)
    holding.release()
    ;(await processes.heldBy(waiting)).release()
    await processes.ended([waiting, next])
  })

  it('frees the slot of a run that is cancelled, handed back, or held back', async () => {
    const engine = await processes.start()
    const concurrency = { key: 'k', limit: 1 }
    const [first, second, third] = [
      await processes.accept(engine, HOLD, { concurrency }),
      await processes.accept(engine, HOLD, { concurrency }),
      await processes.accept(engine, HOLD, { concurrency }),
    ]
    await processes.heldBy(first)
    for (const id of [second, first]) {
      await database.dataSource.query('select run_cancel($1, $2, now())', ['account_a', id])
      await engine.cancelled([id])
    }
    await processes.heldBy(third)
    processes.held.clear()
    await processes.stop(engine)
    expect(await processes.states([third])).toEqual({ queued: 1 })
    await processes.start()
    ;(await processes.heldBy(third)).release()
    await processes.ended([first, second, third])
  })
})

function release(): void {
  for (const held of processes.held.values()) held.release()
}

function limitOf(key: string): number {
  return 1 + (Number(key.slice(1)) % 3)
}

/** Looks all the time at how many slots are taken; the returned function answers the most there ever were, by key. */
function watchSlots(): () => Promise<Map<string, number>> {
  const most = new Map<string, number>()
  let over = false
  const watching = (async () => {
    while (!over) {
      const rows = await database.dataSource.query(
        `select concurrency_key as key, count(*)::int as taken from run
          where concurrency_key is not null and (state = 'running' or state = 'queued' and wake_at is not null) group by 1`,
      )
      for (const { key, taken } of rows) most.set(key, Math.max(most.get(key) ?? 0, taken))
    }
  })()
  return async () => {
    over = true
    await watching
    return most
  }
}
