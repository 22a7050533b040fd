import pg from 'pg'
import { AbstractLogger, type DataSource, type DataSourceOptions } from 'typeorm'
import { migrations } from '../../migrations/index.js'
import { LOCKS } from './advisory-locks.js'
import { SnakeNaming } from './naming.js'

export interface Connection {
  url: string
  poolSize: number
  /** Shown in pg_stat_activity. */
  applicationName: string
}

/** TypeORM would print past our log, values of failing statements included. What fails is thrown and logged where it is caught. */
class Silence extends AbstractLogger {
  protected override writeLog(): void {}
}

/** How TypeORM speaks to Postgres here, for an embedded server and for a given one alike. */
export function dataSourceOptions({
  url,
  poolSize,
  applicationName,
}: Connection): DataSourceOptions & { type: 'postgres' } {
  return {
    type: 'postgres',
    url,
    poolSize,
    applicationName,
    connectTimeoutMS: 10_000,
    namingStrategy: new SnakeNaming(),
    migrations,
    synchronize: false,
    // gen_random_uuid() is part of Postgres: nothing needs to be installed.
    uuidExtension: 'pgcrypto',
    installExtensions: false,
    logging: false,
    logger: new Silence(),
  }
}

/** Settings for a connection beside TypeORM's, such as a pool for prepared statements or one that listens. */
export function connectionSettings({ url, poolSize, applicationName }: Connection): pg.PoolConfig {
  return {
    connectionString: url,
    max: poolSize,
    application_name: applicationName,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  }
}

/**
 * Brings the schema up to date and returns the names of what ran. Each migration is a transaction of its own. Processes that start
 * together take turns: the lock is held by a connection of its own and ends with it.
 */
export async function migrate(dataSource: DataSource, say: (line: string) => void = () => {}): Promise<string[]> {
  const holder = dataSource.createQueryRunner()
  try {
    await holder.query('select pg_advisory_lock($1)', [LOCKS.migrations])
    try {
      if (!(await dataSource.showMigrations())) return []
      say('migrating the database')
      const ran = await dataSource.runMigrations({ transaction: 'each' })
      return ran.map(({ name }) => name)
    } finally {
      // Where the connection is gone, so is the lock; what went wrong before is what is told.
      await holder.query('select pg_advisory_unlock($1)', [LOCKS.migrations]).catch(() => {})
    }
  } finally {
    await holder.release()
  }
}

/** Whether the database answers in time. Never throws. */
export async function databaseIsUp(dataSource: DataSource, withinMs = 2_000): Promise<boolean> {
  if (!dataSource.isInitialized) return false
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, withinMs, false)
  })
  const answer = dataSource.query('select 1').then(
    () => true,
    () => false,
  )
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
