import type { StepOutcome, TracedStep, TraceHeaders } from '../../../engine/host.js'
import type { FinalState } from '../run-state.js'
import type { TakenRun } from '../worker/taken-run.js'

export const RUN_TELEMETRY = Symbol('run telemetry')

/** How a run's stay in a process ends: for good, on a wait, back in the queue, cancelled meanwhile, or because the process may write no more. */
export type Rest = Exclude<FinalState, 'cancelled'> | 'parked' | 'handed back' | 'stopped'

/** What is told of one run while a process interprets it. */
export interface RunWatch {
  /** Of the run's trace, where it has one. */
  readonly traceId?: string
  /** An attempt has come to something, and its outcome is on its way into the journal. */
  settled(outcome: StepOutcome): void
  /** An attempt is about to call a server, which may go on with its trace. */
  traceHeaders(step: TracedStep): TraceHeaders | undefined
  /** A run below this one is durable. */
  started(childId: string): void
  rests(how: Rest): void
}

/** What is told of the journal. */
export interface JournalTelemetry {
  /** One statement has been committed; `startedAt` by `performance.now()`. */
  flushed(flush: { records: number; chars: number; startedAt: number; queued: number }): void
  /** A run was not taken: too much waits to be written, or the database is away. */
  turnedAway(reason: 'full' | 'share' | 'memory' | 'unavailable'): void
  /** The database refuses something among these records, which are halved to find it. */
  halved(): void
  /** The database refuses this one record. */
  refused(): void
  /** A flush did not get through, or its answer was lost: its records are sent again. */
  resent(records: number): void
}

/** What a process's engine tells of its work. It costs next to nothing, and throws nothing. */
export interface RunTelemetry {
  readonly journal: JournalTelemetry
  /** A run of this process is durable. */
  accepted(run: { id: string; trigger: string }): void
  /** So many runs of schedules are durable. */
  fired(runs: number): void
  /** This process begins to interpret a run. */
  taken(run: TakenRun): RunWatch
  /** Runs were ended by a cancel that this process committed. */
  cancelled(runs: number): void
  /** Another process was lost: so many of its runs went back to the queue, and so many were given up. */
  tookOver(runs: { queued: number; dead: number }): void
  /** This process was declared lost. */
  lost(): void
}

const UNWATCHED: RunWatch = { settled: () => {}, traceHeaders: () => undefined, started: () => {}, rests: () => {} }

/** Tells nobody. */
export const UNMEASURED: RunTelemetry = {
  journal: { flushed: () => {}, turnedAway: () => {}, halved: () => {}, refused: () => {}, resent: () => {} },
  accepted: () => {},
  fired: () => {},
  taken: () => UNWATCHED,
  cancelled: () => {},
  tookOver: () => {},
  lost: () => {},
}
