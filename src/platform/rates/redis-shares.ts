import { once } from 'node:events'
import { Redis } from 'ioredis'
import type { RateShares, Share, Wish } from './rate-shares.js'

/** A Redis that does not answer for so long counts as away. */
const PATIENCE_MS = 500
/** Minutes are forgotten by themselves, after a second one for processes whose clocks are behind. */
const KEPT_MS = 120_000

/** `shareOf`, in Lua. */
const TAKE = `
  local before = math.max(tonumber(redis.call('get', KEYS[1]) or '0'), tonumber(ARGV[3]))
  local granted = math.max(0, math.min(tonumber(ARGV[2]), tonumber(ARGV[1]) - before))
  redis.call('set', KEYS[1], before + granted, 'PX', ${KEPT_MS})
  return { granted, before + granted }`

interface Scripts {
  takeShare(key: string, limit: number, wanted: number, known: number): Promise<[number, number]>
}

/** Shares in Redis, which cost the database nothing. What Redis forgets or loses is a minute's count. */
export class RedisShares implements RateShares {
  readonly name = 'Redis'
  private readonly redis: Redis & Scripts

  constructor(url: string) {
    this.redis = new Redis(url, {
      connectionName: 'millrace-rates',
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: PATIENCE_MS,
      connectTimeout: 2_000,
      retryStrategy: (attempt) => Math.min(attempt * 50, 1_000),
      scripts: { takeShare: { lua: TAKE, numberOfKeys: 1 } },
    }) as Redis & Scripts
    // Whoever takes a share meets it.
    this.redis.on('error', () => {})
  }

  /** Resolves once Redis is there, or was not: it goes on trying by itself. */
  async open(): Promise<void> {
    const attempted = once(this.redis, 'reconnecting').catch(() => {})
    await Promise.race([this.redis.connect().catch(() => {}), attempted])
  }

  /** One round trip for all: they are sent in the same turn. */
  async take(wishes: readonly Wish[]): Promise<Share[]> {
    const answers = await Promise.all(
      wishes.map(({ minute, key, limit, wanted, known }) =>
        this.redis.takeShare(`millrace:rate:${minute}:${key}`, limit, wanted, known),
      ),
    )
    return answers.map(([granted, taken]) => ({ granted, taken }))
  }

  async forget(): Promise<void> {}

  async close(): Promise<void> {
    this.redis.disconnect()
  }
}
