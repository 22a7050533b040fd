import type { Graph } from '../../../engine/graph.js'
import type { FlowError, RunEnding, StepOutcome } from '../../../engine/host.js'
import type { Engine } from '../../../engine/interpreter.js'
import type { Language } from '../../../engine/language.js'
import type { Clock } from '../../../platform/clock/clock.js'
import { crashPoint } from '../../../platform/crash-point/crash-point.js'
import { isDatabaseGone } from '../../../platform/database/database-is-gone.js'
import type { JsonObject } from '../../../platform/json.js'
import { inWork } from '../../../platform/log/work-context.js'
import { RevisionUnusable } from '../../flows/flows.errors.js'
import type { RunEvents } from '../events/run-events.js'
import { RunHost, type RunHostParts } from '../host/run-host.js'
import type { StepTransactions } from '../host/step-transactions.js'
import type { Journal } from '../journal/journal.js'
import type { Ending, Writer } from '../journal/records.js'
import type { ChildRuns } from '../lineage/child-runs.js'
import { RunChildren } from '../lineage/run-children.js'
import { LeaseLost, ValueUnavailable } from '../runs.errors.js'
import type { Rest, RunWatch } from '../telemetry/run-telemetry.js'
import type { RunValues } from '../values/run-values.js'
import { type MemoryBudget, weightOf } from './memory-budget.js'
import type { TakenRun } from './taken-run.js'

export const RUN_SUPPLIES = Symbol('run supplies')

/** What a run needs beside the engine; asked for once, when the run is taken. */
export interface RunSupplies {
  /** Who keeps the values that are too large for rows; without it there are none. */
  readonly values?: RunValues
  /** Throws `RevisionUnusable` when that revision can never be run. */
  compiled(flowId: string, revision: number): Promise<{ graph: Graph; language: Language }>
  hostParts(
    run: TakenRun,
  ): Promise<Pick<RunHostParts, 'evaluate' | 'secrets' | 'masker' | 'signals' | 'approvals' | 'keyValue'>>
  /** The runs that steps start. */
  readonly children: ChildRuns
}

export interface ActiveRunParts {
  clock: Clock
  engine: Engine
  journal: Journal
  events: RunEvents
  supplies: RunSupplies
  owner: Writer
  transactions: StepTransactions
  memory: MemoryBudget
  /** False where other runs wait for the place that this one has. */
  hasRoom(): boolean
  /** Runs with these tags have become due. */
  onDue(tags: readonly string[]): void
  /** A parked run may have become due. */
  onWoken(): void
  /** Runs were cancelled, here or elsewhere, because nobody waits for them any more. */
  onCancelled(runIds: readonly string[]): void
  onError(error: unknown, runId?: string): void
}

const HANDED_BACK = Symbol('handed back')
const CANCELLED = Symbol('cancelled')

/** A run that this process owns, from being taken until it ends, is parked, or is handed back. */
export class ActiveRun {
  /** Settled when this process has no more to do with it. Never rejects. */
  readonly done: Promise<void>
  private readonly controller = new AbortController()
  private host?: RunHost
  /** What its values weigh. */
  private held = 0

  constructor(
    readonly run: TakenRun,
    private readonly parts: ActiveRunParts,
    private readonly watch: RunWatch,
  ) {
    const context = { runId: run.id, requestId: run.requestId, traceId: watch.traceId }
    this.done = inWork(context, () => this.work())
      .catch((error) => this.giveUp(error))
      .then((how) => watch.rests(how))
      .finally(() => parts.memory.release(this.held))
  }

  /** Aborts its steps: its cancel is durable. */
  cancel(): void {
    this.controller.abort(CANCELLED)
  }

  /** Aborts its steps; if it is still this process's, it goes back to the queue. */
  handBack(): void {
    this.controller.abort(HANDED_BACK)
  }

  /** Writes what is not written yet of its events. */
  async flushEvents(): Promise<void> {
    await this.host?.flushEvents()
  }

  private async work(): Promise<Rest> {
    const { run, watch } = this
    const { engine, clock, journal, events, supplies, transactions } = this.parts
    const [compiled, parts] = await Promise.all([
      supplies.compiled(run.flowId, run.revision),
      supplies.hostParts(run),
      supplies.values?.restore(run),
    ])
    const onError = (error: unknown) => this.parts.onError(error, run.id)
    const hold = (...outcomes: readonly Pick<StepOutcome, 'output' | 'shared'>[]) => {
      const weight = outcomes.reduce((sum, { output, shared }) => sum + weightOf(output, shared), 0)
      this.held += weight
      this.parts.memory.hold(weight)
    }
    hold({ output: run.input }, ...run.history)
    const { timeoutMs } = compiled.graph.settings ?? {}
    const deadline = timeoutMs === undefined ? undefined : new Date(run.createdAt.getTime() + timeoutMs)
    const host = new RunHost(run, {
      hold,
      gotFurther: () => this.clear(),
      clock,
      journal,
      transactions,
      events,
      watch,
      children: this.children(),
      onError,
      graph: compiled.graph,
      deadline,
      ...parts,
    })
    this.host = host
    const ending = await engine.interpret(
      {
        run: {
          id: run.id,
          flowId: run.flowId,
          tenantId: run.tenantId,
          accountId: run.accountId,
          keyBase: run.keyBase,
          resumedFrom: run.resumedFrom,
        },
        ...compiled,
        input: run.input,
        startNode: run.startNode,
        deadline,
        // Handed over: outputs of a large run shall not be held here as well.
        history: run.history.splice(0),
        opened: run.opens,
        resumed: run.lastSeq > 0,
      },
      host,
      this.controller.signal,
    )
    return await this.settle(host, ending)
  }

  /** It got further than in all the processes before: it is no suspect any more, and the next one need not wait for its end. */
  private clear(): void {
    if (!this.run.suspect) return
    this.run.suspect = false
    this.parts.onWoken()
  }

  private children(): RunChildren {
    const { run, parts } = this
    return new RunChildren(run, {
      children: parts.supplies.children,
      owner: parts.owner,
      signal: this.controller.signal,
      // One that may be what ends its processes keeps the others of its kind waiting.
      hasRoom: () => parts.hasRoom() && !run.suspect,
      onStarted: ({ id, tag }) => {
        this.watch.started(id)
        parts.onDue([tag])
      },
      onCancelled: parts.onCancelled,
    })
  }

  /** Whoever waits for this run may go on: in memory here, or out of the queue. */
  private tellParent(): void {
    if (this.run.parentId === undefined) return
    this.parts.supplies.children.ended(this.run.id)
    this.parts.onWoken()
  }

  /** What cannot be interpreted ends as failed, so that nobody waits for it for ever; unless it is another process's by now. */
  private async giveUp(error: unknown): Promise<Rest> {
    const { run } = this
    if (error instanceof LeaseLost) return 'stopped'
    if (isDatabaseGone(error)) {
      // No fault of the run's. By the table it stays with this process, which takes it up again once the database answers.
      this.parts.onError(error, run.id)
      return 'stopped'
    }
    const known = error instanceof RevisionUnusable || error instanceof ValueUnavailable
    const code = error instanceof ValueUnavailable ? 'value_unavailable' : 'internal'
    if (!known) this.parts.onError(error, run.id)
    const message = known ? error.message : 'the run could not be carried on because of an internal error'
    const ending: Ending = { state: 'failed', error: { message, code }, finishedAt: this.parts.clock.now() }
    try {
      const ended = await this.parts.journal.finish(run, ending, [])
      this.tellParent()
      this.parts.events.published(run.id, run.accountId)
      return ended ? 'failed' : 'stopped'
    } catch (failure) {
      if (!(failure instanceof LeaseLost)) this.parts.onError(failure, run.id)
      return 'stopped'
    }
  }

  private async settle(host: RunHost, ending: RunEnding): Promise<Rest> {
    const { run } = this
    const { journal, events, clock } = this.parts
    let how: Rest = 'stopped'
    if (ending.state === 'parked' || (ending.state === 'cancelled' && this.controller.signal.reason === HANDED_BACK)) {
      const parked = ending.state === 'parked'
      await host.flushEvents()
      await journal.write({
        kind: 'release',
        runId: run.id,
        epoch: run.epoch,
        state: parked ? 'waiting' : 'queued',
        wakeAt: parked ? host.wakeAt : clock.now(),
      })
      how = parked ? 'parked' : 'handed back'
      if (parked) this.parts.onWoken()
    } else if (ending.state === 'cancelled') {
      await host.flushEvents()
    } else {
      // Its log is whole before anyone sees it ended.
      const lastEvents = await host.lastEvents()
      const ended = await journal.finish(run, toEnding(ending, clock.now()), lastEvents)
      if (ended) how = ending.state
      this.tellParent()
      crashPoint('finish')
    }
    events.published(run.id, run.accountId)
    return how
  }
}

function toEnding(ending: Extract<RunEnding, { state: 'completed' | 'failed' }>, finishedAt: Date): Ending {
  if (ending.state === 'completed') return { state: 'completed', result: ending.result, finishedAt }
  return { state: 'failed', error: withoutOutput(ending.error), finishedAt }
}

/** What a failed step had produced is in its outcome; the run's error is its words. */
function withoutOutput({ output: _, ...error }: FlowError): JsonObject {
  return Object.fromEntries(Object.entries(error).filter(([, value]) => value !== undefined))
}
