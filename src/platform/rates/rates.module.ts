import { Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common'
import { CLOCK, type Clock } from '../clock/clock.js'
import { Config } from '../config/config.js'
import { Sql } from '../database/sql.js'
import type { Log } from '../log/log.js'
import { LOG } from '../log/log.module.js'
import { LeasedRates } from './leased-rates.js'
import { MemoryShares } from './memory-shares.js'
import { OwnLimits } from './own-limits.js'
import { PostgresShares } from './postgres-shares.js'
import { RateCounter } from './rate-counter.js'
import { ReachableShares } from './reachable-shares.js'
import { RedisShares } from './redis-shares.js'

/** How many requests came from whom: by Redis where there is one, else by Postgres, and by each process alone while neither answers. */
@Global()
@Module({
  providers: [
    OwnLimits,
    {
      provide: RateCounter,
      inject: [Config, Sql, LOG, CLOCK],
      useFactory: async ({ rateLimit, redisUrl }: Config, sql: Sql, log: Log, clock: Clock) => {
        const child = log.child({ context: RateCounter.name })
        const redis = redisUrl ? new RedisShares(redisUrl) : undefined
        await redis?.open()
        const stores = [...(redis ? [redis] : []), new PostgresShares(sql), new MemoryShares()]
        const shares = new ReachableShares(stores, (err, store) =>
          child.warn({ err }, `requests cannot be counted by ${store}`),
        )
        return new LeasedRates(rateLimit, shares, clock)
      },
    },
  ],
  exports: [RateCounter, OwnLimits],
})
export class RatesModule implements OnApplicationShutdown {
  constructor(@Inject(RateCounter) private readonly rates: LeasedRates) {}

  async onApplicationShutdown(): Promise<void> {
    await this.rates.close()
  }
}
