import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { noRedis, RedisServer } from '../../../test/support/peers/redis.js'
import { FakeClock } from '../clock/clock.fake.js'
import { LeasedRates } from './leased-rates.js'
import { MemoryShares } from './memory-shares.js'
import { PostgresShares } from './postgres-shares.js'
import { type RateShares, shareOf } from './rate-shares.js'
import { ReachableShares } from './reachable-shares.js'
import { RedisShares } from './redis-shares.js'

const MINUTE = 31_556_160
const clock = new FakeClock('2030-01-01T00:00:10.000Z')

let database: TestDatabase
let redis: RedisServer | undefined
const opened: RateShares[] = []

beforeAll(async () => {
  database = await testDatabase()
  if (!noRedis) redis = await RedisServer.start()
})

afterEach(async () => {
  await Promise.all(opened.splice(0).map((shares) => shares.close()))
  await database.dataSource.query('truncate rate_share')
  await redis?.flushAll()
})

afterAll(async () => {
  await database.drop()
  await redis?.stop()
})

async function inRedis(): Promise<RedisShares> {
  const shares = new RedisShares(redis?.url ?? '')
  opened.push(shares)
  await shares.open()
  return shares
}

const stores = [
  { name: 'memory', missing: false, open: async () => new MemoryShares() },
  { name: 'Postgres', missing: false, open: async () => new PostgresShares(database.sql) },
  { name: 'Redis', missing: noRedis, open: inRedis },
] as const

describe.each(stores)('shares in $name', ({ missing, open }) => {
  it.skipIf(missing)('are what is left, and at least as much is taken as who asks knows of', async () => {
    const shares = await open()
    let taken = 0
    for (const [wanted, known] of [
      [7, 0],
      [1, 0],
      [30, 20],
      [30, 50],
      [30, 79],
      [1, 0],
    ] as const) {
      const wish = { key: 'a', minute: MINUTE, limit: 80, wanted, known }
      const expected = shareOf(wish, taken)
      expect(await shares.take([wish])).toEqual([expected])
      taken = expected.taken
    }
    expect(taken).toBe(80)
  })

  it.skipIf(missing)('are each key’s and minute’s own, and are answered in the order of the wishes', async () => {
    const shares = await open()
    const wish = (key: string, minute: number, wanted: number) => ({ key, minute, wanted, limit: 10, known: 0 })
    const hostile = 'address ::1%\'"\n{} \u{1f600}'
    await shares.take([wish('b', MINUTE, 4)])
    const wishes = [wish('b', MINUTE, 9), wish(hostile, MINUTE, 2), wish('b', MINUTE + 1, 3), wish('a', MINUTE, 1)]
    expect(await shares.take(wishes)).toEqual([
      { granted: 6, taken: 10 },
      { granted: 2, taken: 2 },
      { granted: 3, taken: 3 },
      { granted: 1, taken: 1 },
    ])
    expect(await shares.take([wish(hostile, MINUTE, 9)])).toEqual([{ granted: 8, taken: 10 }])
    await shares.forget(MINUTE + 1)
    expect(await shares.take([wish('b', MINUTE + 1, 1)])).toEqual([{ granted: 1, taken: 4 }])
  })

  it.skipIf(missing)('never come to more than the limit for processes that take at the same time', async () => {
    const same = await open()
    const processes = await Promise.all(Array.from({ length: 3 }, async () => (missing ? same : await open())))
    const shares = processes.map((other) => (other instanceof MemoryShares ? same : other))
    const takes = Array.from({ length: 120 }, (_, n) => {
      const keys = n % 2 ? ['a', 'b'] : ['b', 'a']
      return shares[n % 3]?.take(keys.map((key) => ({ key, minute: MINUTE, limit: 200, wanted: 5, known: 0 })))
    })
    const granted = (await Promise.all(takes)).flatMap((both) => both?.map((share) => share.granted) ?? [])
    expect(granted.reduce((sum, share) => sum + share, 0)).toBe(400)
  })
})

it('old minutes leave nothing in the database', async () => {
  const shares = new PostgresShares(database.sql)
  await shares.take([1, 2, 3].map((n) => ({ key: 'a', minute: MINUTE + n, limit: 9, wanted: 1, known: 0 })))
  await shares.forget(MINUTE + 3)
  expect(await database.dataSource.query('select minute from rate_share')).toEqual([{ minute: MINUTE + 3 }])
})

describe.skipIf(noRedis)('when Redis goes', () => {
  it('Postgres goes on with what was taken, and Redis again once it is back', async () => {
    const told: string[] = []
    const process = async () => {
      const stores = [await inRedis(), new PostgresShares(database.sql), new MemoryShares()]
      return new LeasedRates(100, new ReachableShares(stores, (_, store) => told.push(store)), clock)
    }
    const [one, two] = [await process(), await process()]
    let allowed = 0
    const ask = async (rates: LeasedRates, requests: number) => {
      for (let n = 0; n < requests; n++) if (((await rates.hit('a'))?.remaining ?? 0) >= 0) allowed++
    }
    await ask(one, 30)
    await ask(two, 30)
    await redis?.kill()
    await ask(one, 100)
    await ask(two, 100)
    // Of what the second had taken the first did not know: no more than that is too much.
    expect(allowed).toBeGreaterThanOrEqual(90)
    expect(allowed).toBeLessThanOrEqual(100 + 30 + Math.ceil(100 / 16))
    expect(told).toContain('Redis')
    expect(told).not.toContain('Postgres')
    await redis?.restart()
    await vi.waitUntil(
      async () => {
        await one.hit(`probe ${performance.now()}`)
        return (await redis?.command('KEYS *'))?.includes('probe')
      },
      { timeout: 10_000, interval: 50 },
    )
  })

  it('a request waits for a Redis that hangs no longer than half a second', async () => {
    const stores = [await inRedis(), new PostgresShares(database.sql)]
    const rates = new LeasedRates(100, new ReachableShares(stores, () => {}), clock)
    redis?.freeze()
    try {
      expect(await rates.hit('a')).toMatchObject({ remaining: 99 })
      expect(await rates.hit('b')).toMatchObject({ remaining: 99 })
    } finally {
      redis?.thaw()
    }
    expect(await database.dataSource.query('select key from rate_share order by key')).toHaveLength(2)
  })
})
