import { join } from 'node:path'
import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common'
import type { StepType } from '../../engine/step.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Rounds } from '../../platform/clock/rounds.js'
import { Config } from '../../platform/config/config.js'
import { ContainerRuntimes } from '../../platform/containers/container-runtimes.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { SharedPlaces } from '../../platform/fairness/shared-places.js'
import { findCgroups } from '../../platform/processes/cgroups.js'
import { killOrphans, removeControlFolders } from '../../platform/processes/orphans.js'
import { ProcessRunner } from '../../platform/processes/process-runner.js'
import { containerStep } from '../../steps/process/container-step.js'
import type { JobStepPorts } from '../../steps/process/ports.js'
import { processStep } from '../../steps/process/process-step.js'
import { RunFolders } from '../../steps/process/run-folders.js'
import { LeftoverContainers } from '../containers/leftover-containers.worker.js'

const HOUR_MS = 3_600_000
/** Folders of one look. */
const BATCH = 500

const WORKED: Statement = {
  name: 'job_folders_worked',
  text: `with recursive line (id, place) as (
      select id, 0 from run where id = $1
      union all
      select r.resumed_from, place + 1 from line join run r on r.id = line.id where r.resumed_from is not null and place < 1000)
    select id from line where exists (
      select from step_outcome o where o.run_id = $1 and o.state = 'succeeded' and o.node_type in ('process', 'container')
        and ($2::text[] is null or o.path = any ($2)))
    order by place`,
}

/**
 * The programs that jobs run on this host, and the folders of their runs. What a server left that is gone, by whatever way, is ended when
 * another starts or takes its runs over; what runs here ends with this one.
 */
@Injectable()
export class JobProcesses implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly folders: RunFolders
  readonly runner: ProcessRunner
  private readonly logger = new Logger(JobProcesses.name)
  private readonly control: string
  private readonly places: SharedPlaces
  private readonly rounds = new Rounds(
    HOUR_MS,
    () => this.removeUnused(),
    (err) => this.logger.error({ err }, 'folders of runs could not be removed'),
  )

  constructor(
    @Inject(Config)
    private readonly config: Pick<Config, 'dataDir' | 'jobGraceMs' | 'maxJobSteps' | 'jobFolderHours' | 'surroundings'>,
    @Inject(CLOCK) private readonly clock: Clock,
    private readonly sql: Sql,
    private readonly containers: ContainerRuntimes,
    private readonly leftovers: LeftoverContainers,
  ) {
    const base = join(config.dataDir, 'jobs')
    this.folders = new RunFolders(join(base, 'runs'))
    this.control = join(base, 'control')
    this.places = new SharedPlaces(config.maxJobSteps)
    this.runner = new ProcessRunner(this.control, { hidden: [config.dataDir] })
  }

  /** The step types by which jobs reach it: programs of this host, and containers. */
  steps(ports: Omit<JobStepPorts, 'earlier'>, secretVariables: ReadonlySet<string> = new Set()): StepType[] {
    const { jobGraceMs: graceMs, surroundings } = this.config
    // What opens registries is the server's own.
    const handedOn = Object.entries(surroundings).filter(([name]) => !secretVariables.has(name))
    const environment = Object.fromEntries(handedOn)
    const earlier = { of: async ({ id }: { id: string }) => (await this.worked(id)).slice(1) }
    const { folders, control: folder, places } = this
    const parts = { ...ports, earlier, folders, folder, places, graceMs }
    return [
      processStep({ ...parts, runner: this.runner, environment, endLeftovers: () => this.endLeftovers() }),
      containerStep({ ...parts, runtimes: this.containers }),
    ]
  }

  /** Whether the steps behind these outcomes of a run that has ended left nothing, or it is kept still. */
  async keepsWorkOf(runId: string, paths: readonly string[]): Promise<boolean> {
    const runs = await this.worked(runId, paths)
    return runs.length === 0 || (await this.folders.hasOneOf(runs))
  }

  /** This run and those before it, the nearest first, if steps of jobs have succeeded on its way so far, or on this part of it. */
  private async worked(runId: string, paths?: readonly string[]): Promise<string[]> {
    const rows = await this.sql.query<{ id: string }>(WORKED, [runId, paths ?? null])
    return rows.map(({ id }) => id)
  }

  onApplicationBootstrap(): void {
    void this.endLeftovers()
    this.rounds.begin()
  }

  /** After the runs have been handed back: whoever is still there has had its time. */
  async onApplicationShutdown(): Promise<void> {
    await Promise.all([this.runner.close(), this.rounds.end()])
  }

  /** Ends what servers that are gone left at work here: processes now, containers soon. Never throws: whoever asks has other things to do. */
  async endLeftovers(): Promise<void> {
    this.leftovers.look()
    try {
      const killed = await killOrphans(findCgroups())
      if (killed > 0) this.logger.warn({ killed }, 'processes of a server that is gone were ended')
    } catch (error) {
      this.logger.error({ err: error }, 'processes of a server that is gone could not be looked for')
    }
  }

  /** Removes folders of runs that have ended and were not used for long. */
  sweep(): Promise<void> {
    return this.rounds.look()
  }

  private async removeUnused(): Promise<void> {
    await removeControlFolders(this.control)
    const since = new Date(this.clock.now().getTime() - this.config.jobFolderHours * HOUR_MS)
    for (const name of await this.ended((await this.folders.unused(since)).slice(0, BATCH)))
      await this.folders.remove(name)
    // A step removes them itself, unless its server was killed.
    for (const name of await this.ended(await this.folders.withSecrets())) await this.folders.removeSecrets(name)
  }

  /** Those of them that are folders of no run that goes on. */
  private async ended(names: readonly string[]): Promise<string[]> {
    if (names.length === 0) return []
    const live = await this.sql.query<{ id: string }>(
      { name: 'job_folders_live', text: 'select id from run where id = any ($1) and finished_at is null' },
      [names],
    )
    const kept = new Set(live.map(({ id }) => id))
    return names.filter((name) => !kept.has(name))
  }
}
