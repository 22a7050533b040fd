import { type BeforeApplicationShutdown, Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Rounds } from '../../platform/clock/rounds.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { BundleStore } from './bundle-store.js'

const HOUR_MS = 3_600_000
/** So long a state stays that nobody has run and that is not the current one. */
const DAY_MS = 24 * HOUR_MS

/** Removes earlier states of jobs that no kept run is of, and then the snapshots that no state refers to. Every process looks now and then. */
@Injectable()
export class JobSweep implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(JobSweep.name)
  private readonly rounds = new Rounds(
    HOUR_MS,
    () => this.look(),
    (err) => this.logger.error({ err }, 'states of jobs that nobody needs could not be removed'),
  )

  constructor(
    private readonly sql: Sql,
    private readonly bundles: BundleStore,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  onApplicationBootstrap(): void {
    this.rounds.begin()
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.rounds.end()
  }

  async sweep(): Promise<{ revisions: number; bundles: number }> {
    const now = this.clock.now()
    const [removed] = await this.sql.query<{ count: number }>(OLD_REVISIONS, [new Date(now.getTime() - DAY_MS)])
    const bundles = await this.bundles.sweep(async (found) => {
      const rows = await this.sql.query<{ bundle: string }>(NEEDED, [found])
      return new Set(rows.map(({ bundle }) => bundle))
    }, now)
    return { revisions: removed?.count ?? 0, bundles }
  }

  private async look(): Promise<void> {
    const removed = await this.sweep()
    if (removed.bundles > 0) this.logger.log(removed, 'states of jobs that nobody needs were removed')
  }
}

/** The current state stays as long as the job is there, under whatever profile it was run. */
const OLD_REVISIONS: Statement = {
  name: 'job_old_revisions',
  text: `with removed as (
      delete from flow_revision r using job_revision v
        where r.language = 'flwd' and v.flow_id = r.flow_id and v.number = r.number and r.created_at < $1
          and not exists (
            select from job j join job_revision current on current.flow_id = j.flow_id and current.number = j.revision
              where j.flow_id = r.flow_id and j.gone_at is null and current.bundle = v.bundle)
          and not exists (select from run where run.flow_id = r.flow_id and run.revision = r.number)
        returning 1)
    select count(*)::integer as count from removed`,
}

const NEEDED: Statement = {
  name: 'job_needed_bundles',
  text: 'select distinct bundle from job_revision where bundle = any ($1::text[])',
}
