import { type BeforeApplicationShutdown, Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common'
import { CLOCK, type Clock } from '../../../platform/clock/clock.js'
import { Config } from '../../../platform/config/config.js'
import { LOCKS } from '../../../platform/database/advisory-locks.js'
import { Sql, type Statement } from '../../../platform/database/sql.js'
import { ObjectStore } from '../../../platform/objects/object-store.js'
import { Partitions } from './partitions.js'
import { Retention } from './retention.js'
import { ValueSweep } from './value-sweep.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** How often a process looks whether there is anything to do. */
const LOOK_MS = HOUR_MS / 4

/** Begins a chore that nobody has begun for so long. */
const BEGIN: Statement = {
  name: 'chore_begin',
  text: `insert into chore as c (name, begun_at) values ($1, $2)
    on conflict (name) do update set begun_at = excluded.begun_at
      where c.begun_at <= excluded.begun_at - make_interval(secs => $3)
    returning name`,
}

/**
 * What is done now and then so that the disk does not fill: partitions for the coming weeks, runs that are older than they are kept, and
 * values that nobody refers to. Every process looks now and then; what is to be done is done by one of them.
 */
@Injectable()
export class Housekeeping implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(Housekeeping.name)
  private readonly stopping = new AbortController()
  private readonly partitions: Partitions
  private readonly retention: Retention
  private readonly values: ValueSweep
  private timer?: NodeJS.Timeout
  private round = Promise.resolve()

  constructor(
    private readonly sql: Sql,
    store: ObjectStore,
    @Inject(Config) private readonly config: Pick<Config, 'retentionDays'>,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.partitions = new Partitions(sql)
    this.retention = new Retention(sql)
    this.values = new ValueSweep(sql, store)
  }

  /** No run waits for partitions: what belongs to a week that has none goes into the default ones. */
  onApplicationBootstrap(): void {
    void this.look()
    this.timer = setInterval(() => this.look(), LOOK_MS)
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer)
    this.stopping.abort()
    await this.round
  }

  /** Does what is due. Rounds of a process follow one another. */
  look(): Promise<void> {
    this.round = this.round.then(() => this.doAll())
    return this.round
  }

  private async doAll(): Promise<void> {
    await this.attempt('partitions for the coming weeks could not be made', () => this.keepPartitions())
    if (this.stopping.signal.aborted) return
    await this.attempt('old runs could not be removed', () => this.removeOldRuns())
    if (this.stopping.signal.aborted) return
    await this.attempt('values that nobody refers to could not be removed', () => this.sweepValues())
  }

  private async keepPartitions(): Promise<void> {
    await this.partitions.makeAhead(this.clock.now())
    for (const table of await this.partitions.filledRests())
      this.logger.warn(
        `${table} holds rows of weeks that have no partition: they stay there until their runs are removed`,
      )
  }

  private async removeOldRuns(): Promise<void> {
    const { retentionDays } = this.config
    if (retentionDays === 0 || !(await this.begins('retention', HOUR_MS))) return
    const before = new Date(this.clock.now().getTime() - retentionDays * DAY_MS)
    const removed = await this.alone(() => this.retention.removeBefore(before, this.stopping.signal))
    if (!removed) return
    const { runs, weeks, rows, failures } = removed
    if (runs + weeks.length + rows > 0)
      this.logger.log(`removed ${runs} runs, ${rows} rows of removed runs and ${weeks.length} weeks of what runs did`)
    if (failures.length > 0) throw failures[0]
  }

  private async sweepValues(): Promise<void> {
    if (!(await this.begins('value sweep', DAY_MS))) return
    const removed = await this.alone(() => this.values.sweep(this.clock.now(), this.stopping.signal))
    if (removed) this.logger.log(`removed ${removed} values that no run refers to`)
  }

  private async begins(chore: string, everyMs: number): Promise<boolean> {
    return (await this.sql.query(BEGIN, [chore, this.clock.now(), everyMs / 1_000])).length > 0
  }

  /** One process at a time, however long it takes; the lock goes with the connection. */
  private async alone<T>(work: () => Promise<T>): Promise<T | undefined> {
    const client = this.sql.client('millrace retention')
    await client.connect()
    try {
      const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1, 0) as taken', [
        LOCKS.retention,
      ])
      return rows[0]?.taken ? await work() : undefined
    } finally {
      await client.end().catch(() => {})
    }
  }

  private async attempt(failure: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.logger.error({ err: error }, failure)
    }
  }
}
