import { type BeforeApplicationShutdown, Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Rounds } from '../../platform/clock/rounds.js'
import { Chores } from '../../platform/database/chores.js'
import { Sql } from '../../platform/database/sql.js'
import { ArtifactRemoval } from './artifact-removal.js'
import { ArtifactStates } from './artifact-states.js'

const EVERY_MS = 15 * 60_000

/** Artifacts that are over go, and so does what uploads and removals have left. Every process looks now and then; one does it. */
@Injectable()
export class ArtifactSweep implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(ArtifactSweep.name)
  private readonly chores: Chores
  private readonly rounds = new Rounds(
    EVERY_MS,
    (signal) => this.sweep(signal),
    (err) => this.logger.error({ err }, 'artifacts that are over could not be removed'),
  )

  constructor(
    sql: Sql,
    private readonly states: ArtifactStates,
    private readonly removal: ArtifactRemoval,
    @Inject(CLOCK) private readonly clock: Pick<Clock, 'now'>,
  ) {
    this.chores = new Chores(sql)
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

  private async sweep(signal: AbortSignal): Promise<void> {
    if (!(await this.chores.begins('artifact sweep', this.clock.now(), EVERY_MS))) return
    await this.states.retire(this.clock.now(), signal)
    const { removed, failures } = await this.removal.removeAll(signal)
    if (removed > 0) this.logger.log(`removed ${removed} artifacts`)
    if (failures.length > 0)
      this.logger.error({ err: failures[0] }, `${failures.length} artifacts could not be removed yet`)
  }
}
