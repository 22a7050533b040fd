import { describe, expect, it } from 'vitest'
import { FakeClock } from '../clock/clock.fake.js'
import { LeasedRates } from './leased-rates.js'
import { MemoryShares } from './memory-shares.js'
import type { RateShares, Share, Wish } from './rate-shares.js'
import { ReachableShares } from './reachable-shares.js'

/** Notes what it is asked for, and can be away. */
class WatchedShares implements RateShares {
  readonly name = 'watched'
  readonly asked: Wish[][] = []
  isAway = false
  private readonly kept = new MemoryShares()

  async take(wishes: readonly Wish[]): Promise<Share[]> {
    this.asked.push([...wishes])
    if (this.isAway) throw new Error('away')
    return await this.kept.take(wishes)
  }

  forget = (minute: number) => this.kept.forget(minute)
  close = () => this.kept.close()
}

const clock = () => new FakeClock('2030-01-01T00:00:10.000Z')

/** How many of so many requests are let through. */
async function allowed(rates: LeasedRates, key: string, requests: number): Promise<number> {
  let count = 0
  for (let n = 0; n < requests; n++) if (((await rates.hit(key))?.remaining ?? 0) >= 0) count++
  return count
}

describe('the count of requests', () => {
  it('tells what is left and when the next minute begins', async () => {
    const time = clock()
    const rates = new LeasedRates(3, new MemoryShares(), time)
    const resetAt = new Date('2030-01-01T00:01:00.000Z')
    for (const remaining of [2, 1, 0, -1, -1])
      expect(await rates.hit('a')).toEqual({ limit: 3, remaining, resetAt, retryAfter: 50 })
    expect(await rates.hit('b')).toMatchObject({ remaining: 2 })
    time.advance(49_999)
    expect(await rates.hit('a')).toMatchObject({ remaining: -1, retryAfter: 1 })
    time.advance(1)
    expect(await rates.hit('a')).toMatchObject({ remaining: 2, resetAt: new Date('2030-01-01T00:02:00.000Z') })
  })

  it('is none where there is no limit, and another where a key has one of its own', async () => {
    const shares = new WatchedShares()
    expect(await new LeasedRates(0, shares, clock()).hit('a')).toBeUndefined()
    expect(shares.asked).toEqual([])
    expect(await new LeasedRates(0, shares, clock()).hit('a', 2)).toMatchObject({ limit: 2, remaining: 1 })
  })

  it('lets no more through than the limit, however many processes are asked at once', async () => {
    const shares = new MemoryShares()
    const time = clock()
    const processes = Array.from({ length: 3 }, () => new LeasedRates(100, shares, time))
    const all = await Promise.all(
      Array.from({ length: 400 }, (_, n) => processes[n % 3]?.hit('a').then((allowance) => allowance?.remaining ?? 0)),
    )
    expect(all.filter((remaining = -1) => remaining >= 0)).toHaveLength(100)
  })

  it('keeps little from a process that others leave alone', async () => {
    const shares = new MemoryShares()
    const time = clock()
    const [one, other] = [new LeasedRates(600, shares, time), new LeasedRates(600, shares, time)]
    await other.hit('a')
    expect(await allowed(one, 'a', 700)).toBe(600 - Math.ceil(600 / 16))
  })

  it('asks for few shares, for all keys of a moment together', async () => {
    const shares = new WatchedShares()
    const rates = new LeasedRates(600, shares, clock())
    await Promise.all(Array.from({ length: 500 }, (_, n) => rates.hit(`key ${n}`)))
    expect(shares.asked.map((wishes) => wishes.length)).toEqual([500])
    expect(await allowed(rates, 'key 1', 1_000)).toBe(599)
    expect(shares.asked.length).toBeLessThan(80)
    const asked = shares.asked.length
    expect(await allowed(rates, 'key 1', 1_000)).toBe(0)
    expect(shares.asked).toHaveLength(asked)
  })

  it('forgets the minutes before the last', async () => {
    const time = clock()
    const shares = new MemoryShares()
    const rates = new LeasedRates(2, shares, time)
    await allowed(rates, 'a', 3)
    const minute = Math.floor(time.now().getTime() / 60_000)
    const left = async () => (await shares.take([{ key: 'a', minute, limit: 2, wanted: 0, known: 0 }]))[0]?.taken
    time.advance(60_000)
    await rates.hit('a')
    expect(await left()).toBe(2)
    time.advance(60_000)
    await rates.hit('a')
    expect(await left()).toBe(0)
  })
})

describe('when a store is away', () => {
  it('the next one goes on from what the process knows, and the outage is told once', async () => {
    const [first, second] = [new WatchedShares(), new WatchedShares()]
    const told: string[] = []
    const shares = new ReachableShares([first, second], (_, store) => told.push(store))
    const rates = new LeasedRates(100, shares, clock())
    expect(await allowed(rates, 'a', 40)).toBe(40)
    first.isAway = true
    expect(await allowed(rates, 'a', 100)).toBe(60)
    expect(await allowed(rates, 'b', 200)).toBe(100)
    expect(told).toEqual(['watched'])
    expect(second.asked[0]?.[0]?.known).toBeGreaterThanOrEqual(40)
  })

  it('requests are counted by the process alone where none answers', async () => {
    const away = new WatchedShares()
    away.isAway = true
    const rates = new LeasedRates(5, new ReachableShares([away, new MemoryShares()], () => {}), clock())
    expect(await allowed(rates, 'a', 9)).toBe(5)
    expect(away.asked).toHaveLength(1)
  })
})
