import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  Optional,
} from '@nestjs/common'
import { CLOCK, type Clock } from '../../../platform/clock/clock.js'
import { Rounds } from '../../../platform/clock/rounds.js'
import { Config } from '../../../platform/config/config.js'
import { LOCKS } from '../../../platform/database/advisory-locks.js'
import { Chores } from '../../../platform/database/chores.js'
import { Sql } from '../../../platform/database/sql.js'
import { ObjectStore } from '../../../platform/objects/object-store.js'
import { SealedRunSecrets } from '../../secrets/run-secrets.js'
import { Partitions } from './partitions.js'
import { Retention } from './retention.js'
import { ValueSweep } from './value-sweep.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** How often a process looks whether there is anything to do. */
const LOOK_MS = HOUR_MS / 4

/**
 * What is done now and then so that the disk does not fill: partitions for the coming weeks, runs that are older than they are kept, and
 * values that nobody refers to. Every process looks now and then; what is to be done is done by one of them.
 */
@Injectable()
export class Housekeeping implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(Housekeeping.name)
  private readonly chores: Chores
  private readonly partitions: Partitions
  private readonly retention: Retention
  private readonly values: ValueSweep
  private readonly rounds = new Rounds(
    LOOK_MS,
    (signal) => this.doAll(signal),
    (err) => this.logger.error({ err }, 'the disk could not be looked after'),
  )

  constructor(
    sql: Sql,
    store: ObjectStore,
    @Inject(Config) private readonly config: Pick<Config, 'retentionDays'>,
    @Inject(CLOCK) private readonly clock: Clock,
    @Optional() private readonly secrets?: SealedRunSecrets,
  ) {
    this.chores = new Chores(sql)
    this.partitions = new Partitions(sql)
    this.retention = new Retention(sql)
    this.values = new ValueSweep(sql, store)
  }

  /** No run waits for partitions: what belongs to a week that has none goes into the default ones. */
  onApplicationBootstrap(): void {
    this.rounds.begin()
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.rounds.end()
  }

  /** Does what is due. */
  look(): Promise<void> {
    return this.rounds.look()
  }

  private async doAll(signal: AbortSignal): Promise<void> {
    await this.attempt('partitions for the coming weeks could not be made', () => this.keepPartitions())
    if (signal.aborted) return
    await this.attempt('old runs could not be removed', () => this.removeOldRuns(signal))
    if (signal.aborted) return
    await this.attempt('values that nobody refers to could not be removed', () => this.sweepValues(signal))
    if (signal.aborted) return
    await this.attempt('secrets of runs that were never accepted could not be removed', async () => {
      await this.secrets?.sweep()
    })
  }

  private async keepPartitions(): Promise<void> {
    await this.partitions.makeAhead(this.clock.now())
    for (const table of await this.partitions.filledRests())
      this.logger.warn(
        `${table} holds rows of weeks that have no partition: they stay there until their runs are removed`,
      )
  }

  private async removeOldRuns(signal: AbortSignal): Promise<void> {
    const { retentionDays } = this.config
    const now = this.clock.now()
    if (retentionDays === 0 || !(await this.chores.begins('retention', now, HOUR_MS))) return
    const before = new Date(now.getTime() - retentionDays * DAY_MS)
    const removed = await this.chores.alone(LOCKS.retention, () => this.retention.removeBefore(before, signal))
    if (!removed) return
    const { runs, weeks, rows, failures } = removed
    if (runs + weeks.length + rows > 0)
      this.logger.log(`removed ${runs} runs, ${rows} rows of removed runs and ${weeks.length} weeks of what runs did`)
    if (failures.length > 0) throw failures[0]
  }

  private async sweepValues(signal: AbortSignal): Promise<void> {
    const now = this.clock.now()
    if (!(await this.chores.begins('value sweep', now, DAY_MS))) return
    const removed = await this.chores.alone(LOCKS.retention, () => this.values.sweep(now, signal))
    if (removed) this.logger.log(`removed ${removed} values that no run refers to`)
  }

  private async attempt(failure: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.logger.error({ err: error }, failure)
    }
  }
}
