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
import { isDatabaseGone } from '../../platform/database/database-is-gone.js'
import { Sql } from '../../platform/database/sql.js'
import { Hints } from '../../platform/hints/hints.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { JobProcesses } from '../steps/job-processes.js'
import { Admissions } from './dispatch/admissions.js'
import { HandOver } from './dispatch/hand-over.js'
import { RUN_QUEUES, type RunQueues } from './dispatch/run-queues.js'
import { RunEvents } from './events/run-events.js'
import { Journal } from './journal/journal.js'
import type { Accepted, NewRun } from './journal/records.js'
import { LateOutcomes } from './ownership/late-outcomes.js'
import { NO_PLACES, Ownership, type QueuePlaces } from './ownership/ownership.js'
import { Reaper, type TakenOver } from './ownership/reaper.js'
import { RUN_HINT } from './run-hints.js'
import { EngineNotReady, LeaseLost, MemoryExhausted } from './runs.errors.js'
import { RUN_TELEMETRY, type RunTelemetry, UNMEASURED } from './telemetry/run-telemetry.js'
import { RUN_SUPPLIES, type RunSupplies } from './worker/active-run.js'
import { MemoryBudget } from './worker/memory-budget.js'
import { RunWorker } from './worker/run.worker.js'

/** The tag of runs that name none. */
const DEFAULT_TAG = 'default'
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
  reaper: Reaper
  journal: Journal
  worker: RunWorker
  handOver: HandOver
  admissions: Admissions
}

/**
 * This process's engine: its claim to runs, its journal and its worker, as one thing that starts and stops. When the lease is lost the
 * whole of it is thrown away and begun anew under another name.
 */
@Injectable()
export class RunEngine implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(RunEngine.name)
  /** Of this process, however often it begins anew. */
  readonly memory = new MemoryBudget()
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
    @Inject(Config) private readonly config: Pick<Config, 'shutdownGraceMs' | 'workerTags' | 'maxActiveRuns'>,
    @Optional() @Inject(RUN_TELEMETRY) private readonly telemetry: RunTelemetry = UNMEASURED,
    @Optional() @Inject(RUN_QUEUES) private readonly queues?: RunQueues,
    @Optional() private readonly audit?: AuditTrail,
    @Optional() private readonly processes?: JobProcesses,
  ) {
    hints.on(RUN_HINT.due, (tag) => {
      if (tag === '' || config.workerTags.includes(tag)) this.lookForWork()
    })
    hints.on(RUN_HINT.cancelled, (runId) => {
      this.parts?.worker.cancelIfOver(runId).catch((error) => this.report(error, runId))
    })
    events.onFollow = (runId) => this.writeEventsOf(runId)
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.hints.open()
    try {
      await this.begin()
    } catch (error) {
      // It was there a moment ago, and a process that starts into its restart need not end for that.
      if (!isDatabaseGone(error)) throw error
      this.report(error)
      this.beginning = this.beginAnew()
    }
    this.openQueues()
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
    await parts.reaper.stop()
    await parts.ownership.withdraw()
    this.queues?.pause()
    await parts.worker.stop(graceMs)
    await parts.journal.close()
    await Promise.all([parts.admissions.stop(), parts.handOver.stop()])
    await this.queues?.close()
    await parts.ownership.release()
    // What was handed back is due.
    this.hints.send(RUN_HINT.due, '')
    await this.hints.close()
  }

  /** Durable when it resolves; interpreted here when there is room, else by whoever has some. */
  async accept(run: Omit<NewRun, 'state'>): Promise<Accepted & Partial<Pick<NewRun, 'state'>>> {
    const parts = this.parts
    if (!parts) throw new EngineNotReady()
    if (parts.worker.isOutOfMemory) {
      this.telemetry.journal.turnedAway('memory')
      throw new MemoryExhausted()
    }
    const tag = run.tag ?? DEFAULT_TAG
    // One with a concurrency key begins once it has a slot.
    const place = run.concurrency ? undefined : parts.worker.reserve(tag, run.accountId)
    const state = place ? 'running' : 'queued'
    try {
      crashPoint('accept-before-commit')
      const accepted = await parts.journal.accept({ ...run, state })
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
      else if (run.concurrency) parts.admissions.ask({ accountId: run.accountId, key: run.concurrency.key })
      else parts.worker.due([tag], run.accountId)
      return { ...accepted, state }
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

  /** Stops the work on runs whose cancel is durable, in every process. */
  async cancelled(runIds: readonly string[]): Promise<void> {
    this.stopWork(runIds)
    await this.parts?.admissions.askFor(runIds)
  }

  /** Something may have become due. */
  lookForWork(): void {
    this.parts?.worker.lookForWork()
  }

  /** A run was made durable by others than `accept`. */
  queued(run: { id: string; trigger: string }): void {
    this.telemetry.accepted(run)
    this.due()
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

  private stopWork(runIds: readonly string[]): void {
    this.telemetry.cancelled(runIds.length)
    for (const runId of runIds) {
      this.parts?.worker.cancel(runId)
      this.events.published(runId)
      this.supplies.children.ended(runId)
      this.hints.send(RUN_HINT.cancelled, runId)
    }
    this.parts?.worker.lookForWork()
  }

  private async begin(): Promise<void> {
    // What an earlier claim still reports, when a step of its time ends late, does not concern this one.
    let parts: Parts | undefined
    const onLost = () => {
      if (parts) this.lost(parts)
    }
    const ownership = await Ownership.take(
      this.sql,
      { onLost, onError: (error) => this.report(error) },
      this.queuePlaces,
    )
    const late = new LateOutcomes(this.sql, ownership.writer.id, (words) => this.logger.warn(words))
    const journal = new Journal(this.sql, ownership.writer, {
      onLost,
      holds: () => ownership.holds,
      onLate: (outcome) => late.keep(outcome),
      onOver: (runId) => this.parts?.worker.cancel(runId),
      onCancelled: (runIds) => this.stopWork(runIds),
      telemetry: this.telemetry.journal,
      values: this.supplies.values,
    })
    const onError = (error: unknown) => this.report(error)
    const takeovers = { onTakeover: (taken: TakenOver) => this.tookOver(taken), onError }
    const reaper = new Reaper(this.sql, ownership.writer.id, takeovers, this.audit)
    const handOver = new HandOver({
      sql: this.sql,
      clock: this.clock,
      hints: this.hints,
      queues: this.queues,
      onError,
    })
    const admissions = new Admissions({
      sql: this.sql,
      clock: this.clock,
      onAdmitted: (tags) => this.parts?.worker.due(tags),
      onError,
    })
    const worker = new RunWorker({
      memory: this.memory,
      sql: this.sql,
      clock: this.clock,
      engine: this.engine,
      journal,
      events: this.events,
      supplies: this.supplies,
      owner: ownership.writer,
      telemetry: this.telemetry,
      tags: this.config.workerTags,
      maxActive: this.config.maxActiveRuns,
      handOver,
      admissions,
      onCancelled: (runIds) => this.stopWork(runIds),
      onError: (error, runId) => this.report(error, runId),
    })
    parts = { ownership, reaper, journal, worker, handOver, admissions }
    this.parts = parts
    worker.lookForWork()
    reaper.start()
  }

  private tookOver({ queued, dead, cancelled }: TakenOver): void {
    this.telemetry.tookOver({ queued, dead: dead.length })
    // What its steps ran on this host may have outlived it.
    void this.processes?.endLeftovers()
    if (queued > 0) {
      this.logger.log(`took over ${queued} runs from a process that is gone`)
      this.due()
    }
    for (const { id, stalls } of dead) {
      this.logger.error({ runId: id }, `gave a run up: its process was lost ${stalls} times before it got any further`)
      this.events.published(id)
      this.supplies.children.ended(id)
    }
    if (dead.length === 0) return
    this.stopWork(cancelled)
    const ended = [...dead.map(({ id }) => id), ...cancelled]
    this.parts?.admissions.askFor(ended).catch((error) => this.report(error))
  }

  private lost(parts: Parts): void {
    // Nothing more is begun or sent, also while it stops.
    parts.worker.abandon()
    parts.journal.abandon()
    if (parts !== this.parts) return
    this.parts = undefined
    this.logger.warn('the lease was lost: another process may have the runs of this one; beginning anew')
    this.telemetry.lost()
    void parts.reaper.stop()
    void parts.admissions.stop()
    void parts.handOver.stop()
    this.beginning = parts.ownership.release().then(() => this.beginAnew())
  }

  private async beginAnew(): Promise<void> {
    while (!this.stopped) {
      try {
        return await this.begin()
      } catch (error) {
        this.report(error)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  }

  /** What others may count on when they hand runs over. */
  private get queuePlaces(): QueuePlaces {
    const { workerTags, maxActiveRuns } = this.config
    return this.queues?.areTaken ? { tags: workerTags, capacity: maxActiveRuns } : NO_PLACES
  }

  /** Takes runs from the queues of this process's tags, and notices when Redis goes and comes. */
  private openQueues(): void {
    const { queues } = this
    if (!queues) return
    let isTaking = false
    queues.connections.events = {
      onAway: (error) => this.logger.warn({ err: error }, 'Redis is away: runs are handed over by the database alone'),
      onThere: () => {
        this.parts?.handOver.startOver()
        if (isTaking || !queues.areTaken) return
        isTaking = true
        for (const tag of this.config.workerTags)
          queues
            .take(tag, this.config.maxActiveRuns, async (run) => await this.parts?.worker.takeHanded(tag, run))
            .catch((error) => this.report(error))
      },
    }
    queues.connections.open()
  }

  private report(error: unknown, runId?: string): void {
    // What another process has by now; that the lease was lost is told once.
    if (error instanceof LeaseLost) return
    this.logger.error({ err: error, runId }, 'the engine met an error')
  }
}
