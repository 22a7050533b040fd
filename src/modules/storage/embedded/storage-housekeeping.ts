import { type BeforeApplicationShutdown, Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common'
import { CLOCK, type Clock } from '../../../platform/clock/clock.js'
import { Rounds } from '../../../platform/clock/rounds.js'
import { Config } from '../../../platform/config/config.js'
import { LOCKS } from '../../../platform/database/advisory-locks.js'
import { Chores } from '../../../platform/database/chores.js'
import { Sql } from '../../../platform/database/sql.js'
import { ObjectStore } from '../../../platform/objects/object-store.js'
import { BlobSweep } from './blob-sweep.js'

/** How often a process looks whether there is anything to do. */
const LOOK_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * 3_600_000

/** Gives back the disk that buckets need no more. Every process looks now and then; what is to be done is done by one of them. */
@Injectable()
export class StorageHousekeeping implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(StorageHousekeeping.name)
  private readonly chores: Chores
  private readonly sweep: BlobSweep
  private readonly rounds = new Rounds(
    LOOK_MS,
    (signal) => this.doAll(signal),
    (err) => this.logger.error({ err }, 'contents that nothing names could not be removed'),
  )

  constructor(
    sql: Sql,
    store: ObjectStore,
    @Inject(Config) config: Pick<Config, 'bucketGraceMinutes'>,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.chores = new Chores(sql)
    this.sweep = new BlobSweep(sql, store, config.bucketGraceMinutes * 60_000)
  }

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
    const now = this.clock.now()
    if (!(await this.chores.begins('bucket sweep', now, LOOK_MS))) return
    await this.chores.alone(LOCKS.buckets, async () => {
      const ended = await this.sweep.endStaleUploads(now)
      if (ended > 0) this.logger.log(`gave up ${ended} uploads that had rested`)
      if (await this.chores.begins('bucket sweep of unfinished files', now, HOUR_MS))
        await this.sweep.removeUnfinished(now)
      let removed = await this.sweep.sweepReleased(now, signal)
      if (!signal.aborted && (await this.chores.begins('bucket sweep of all', now, DAY_MS)))
        removed += await this.sweep.sweepAll(now, signal)
      if (removed > 0) this.logger.log(`removed ${removed} contents that nothing names`)
    })
  }
}
