import { Module } from '@nestjs/common'
import { Config } from '../config/config.js'
import { Sql } from '../database/sql.js'
import type { Log } from '../log/log.js'
import { LOG } from '../log/log.module.js'
import { Hints } from './hints.js'
import { PostgresHints } from './postgres-hints.js'
import { RedisHints } from './redis-hints.js'

/** Hints between processes: by Redis where there is one, by Postgres otherwise and while it is away. Whoever uses them first opens them. */
@Module({
  providers: [
    {
      provide: Hints,
      inject: [Sql, Config, LOG],
      useFactory: (sql: Sql, { redisUrl }: Config, log: Log) => {
        const routes = [...(redisUrl ? [new RedisHints(redisUrl)] : []), new PostgresHints(sql)]
        const child = log.child({ context: Hints.name })
        return new Hints(routes, (err, route) => child.warn({ err, route }, 'hints to other processes are disturbed'))
      },
    },
  ],
  exports: [Hints],
})
export class HintsModule {}
