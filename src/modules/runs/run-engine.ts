import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  Optional,
} from '@nestjs/common'
import { Engine } from '../../engine/interpreter.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Config } from '../../platform/config/config.js'
import { crashPoint } from '../../platform/crash-point/crash-point.js'
import { Sql } from '../../platform/database/sql.js'
import { Hints } from '../../platform/hints/hints.js'
import { Journal } from './journal/journal.js'
import type { Accepted, NewRun } from './journal/records.js'
import { Ownership } from './ownership.js'
import { RUN_SUPPLIES, type RunSupplies, RunWorker } from './run.worker.js'
import { RunEvents } from './run-events.js'
import { RUN_HINT } from './run-hints.js'
import { EngineNotReady, LeaseLost } from './runs.errors.js'
import { RUN_TELEMETRY, type RunTelemetry, UNMEASURED } from './telemetry/run-telemetry.js'

/** Between attempts to begin anew while the database is away. */
const RETRY_MS = 500

export interface Standing {
  /** Runs that it interprets, and that it could take besides. */
  active: number
  room: number
  /** Records that are not durable yet. */
  unwritten: number
  /** Until others may take it for lost. */
  leaseSeconds: number
}

interface Parts {
  ownership: Ownership
  journal: Journal
  worker: RunWorker
}

/**
 * This process's engine: its claim to runs, its journal and its worker, as one thing that starts and stops. When the lease is lost the
 * whole of it is thrown away and begun anew under another name.
 */
@Injectable()
export class RunEngine implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(RunEngine.name)
  private parts?: Parts
  private beginning?: Promise<void>
  private stopped = false

  constructor(
    private readonly sql: Sql,
    private readonly engine: Engine,
    private readonly events: RunEvents,
    private readonly hints: Hints,
    @Inject(RUN_SUPPLIES) private readonly supplies: RunSupplies,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(Config) private readonly config: Pick<Config, 'shutdownGraceMs'>,
    @Optional() @Inject(RUN_TELEMETRY) private readonly telemetry: RunTelemetry = UNMEASURED,
  ) {
    hints.on(RUN_HINT.due, () => this.lookForWork())
    hints.on(RUN_HINT.cancelled, (runId) => this.parts?.worker.cancel(runId))
    events.onFollow = (runId) => this.writeEventsOf(runId)
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.hints.open()
    await this.begin()
  }

  /** Before the listeners and the database close. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.stop(this.config.shutdownGraceMs)
  }

  /** Takes nothing more, waits `graceMs` for what runs, and hands back the rest. */
  async stop(graceMs: number): Promise<void> {
    this.stopped = true
    await this.beginning
    const parts = this.parts
    this.parts = undefined
    if (!parts) return await this.hints.close()
    parts.journal.refuseRuns()
    await parts.worker.stop(graceMs)
    await parts.journal.close()
    await parts.ownership.release()
    // What was handed back is due.
    this.hints.send(RUN_HINT.due, '')
    await this.hints.close()
  }

  /** Durable when it resolves; interpreted here when there is room, else by whoever has some. */
  async accept(run: Omit<NewRun, 'state'>): Promise<Accepted> {
    const parts = this.parts
    if (!parts) throw new EngineNotReady()
    const place = parts.worker.reserve()
    try {
      crashPoint('accept-before-commit')
      const accepted = await parts.journal.accept({ ...run, state: place ? 'running' : 'queued' })
      crashPoint('accept-after-commit')
      if (accepted.repeated) return accepted
      this.telemetry.accepted(run)
      if (place)
        parts.worker.start({
          ...run,
          epoch: 0,
          history: [],
          timers: [],
          opens: [],
          lastSeq: 0,
          untold: [],
          suspect: false,
          requestId: run.audit?.requestId,
        })
      else parts.worker.lookForWork()
      return accepted
    } catch (error) {
      throw error instanceof LeaseLost ? new EngineNotReady() : error
    } finally {
      place?.release()
    }
  }

  /** Writes what this process has not written yet of a run's events. */
  async writeEventsOf(runId: string): Promise<void> {
    await this.parts?.worker.writeEventsOf(runId)
  }

  /** Stops the work on a run whose cancel is durable, in every process. */
  async cancelled(runId: string): Promise<void> {
    this.telemetry.cancelled(1)
    this.parts?.worker.cancel(runId)
    this.events.published(runId)
    this.hints.send(RUN_HINT.cancelled, runId)
  }

  /** Something may have become due. */
  lookForWork(): void {
    this.parts?.worker.lookForWork()
  }

  /** Runs have become due that any process may take. */
  due(): void {
    this.lookForWork()
    this.hints.send(RUN_HINT.due, '')
  }

  /** How this process stands; undefined while it may take no runs. */
  get standing(): Standing | undefined {
    if (!this.parts) return undefined
    const { worker, journal, ownership } = this.parts
    return { active: worker.size, room: worker.room, unwritten: journal.queued, leaseSeconds: ownership.leaseSeconds }
  }

  private async begin(): Promise<void> {
    // What an earlier claim still reports, when a step of its time ends late, does not concern this one.
    let parts: Parts | undefined
    const onLost = () => {
      if (parts) this.lost(parts)
    }
    const ownership = await Ownership.take(this.sql, {
      onLost,
      onTakeover: (runs) => {
        this.telemetry.tookOver(runs)
        if (runs > 0) this.due()
      },
      onError: (error) => this.report(error),
    })
    const journal = new Journal(this.sql, ownership.writer, { onLost, telemetry: this.telemetry.journal })
    const worker = new RunWorker({
      sql: this.sql,
      clock: this.clock,
      engine: this.engine,
      journal,
      events: this.events,
      supplies: this.supplies,
      owner: ownership.writer,
      telemetry: this.telemetry,
      onError: (error, runId) => this.report(error, runId),
    })
    parts = { ownership, journal, worker }
    this.parts = parts
    worker.lookForWork()
    try {
      const released = await ownership.reap()
      if (released > 0) this.logger.log(`took over ${released} runs from a process that is gone`)
    } catch (error) {
      // The next round reaps what this one could not.
      this.report(error)
    }
    worker.lookForWork()
  }

  private lost(parts: Parts): void {
    if (parts !== this.parts || this.stopped) return
    this.parts = undefined
    this.logger.warn('the lease was lost: another process has the runs of this one; beginning anew')
    this.telemetry.lost()
    parts.worker.abandon()
    this.beginning = this.beginAnew(parts)
  }

  private async beginAnew(before: Parts): Promise<void> {
    await before.ownership.release()
    while (!this.stopped) {
      try {
        return await this.begin()
      } catch (error) {
        this.report(error)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  }

  private report(error: unknown, runId?: string): void {
    this.logger.error({ err: error, runId }, 'the engine met an error')
  }
}
