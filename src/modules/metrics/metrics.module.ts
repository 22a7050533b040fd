import { Module } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import { databaseIsUp } from '../../platform/database/data-source.js'
import { type PoolLoad, Sql } from '../../platform/database/sql.js'
import { Metrics } from '../../platform/telemetry/metrics.js'
import { version } from '../../platform/version.js'

/** What is measured of the parts that every process has: its build and its database connections. */
@Module({})
export class MetricsModule {
  constructor(metrics: Metrics, sql: Sql, @InjectDataSource() database: DataSource) {
    metrics.gauge({ name: 'millrace_build_info', help: 'Always 1; the version is a label.' }, () => [
      { value: 1, labels: { version } },
    ])
    metrics.asked(
      { name: 'millrace_database_up', help: '1 while the database answers within two seconds.' },
      async () => ((await databaseIsUp(database)) ? 1 : 0),
    )
    const pools = (): [string, PoolLoad][] => [
      ['sql', sql.load],
      ['entities', (database.driver as unknown as { master: PoolLoad }).master],
    ]
    metrics.gauge(
      { name: 'millrace_database_pool_connections', help: 'Open connections of each pool, lent out or idle.' },
      () =>
        pools().flatMap(([pool, { totalCount, idleCount }]) => [
          { value: totalCount - idleCount, labels: { pool, state: 'used' } },
          { value: idleCount, labels: { pool, state: 'idle' } },
        ]),
    )
    metrics.gauge(
      { name: 'millrace_database_pool_waiting', help: 'Statements that wait for a connection of the pool.' },
      () => pools().map(([pool, { waitingCount }]) => ({ value: waitingCount, labels: { pool } })),
    )
  }
}
