import type { Clock } from '../platform/clock/clock.js'
import type { Json, JsonObject } from '../platform/json.js'
import type { Evaluation, EvaluationResult } from '../platform/sandbox/evaluation.js'
import type { Approval } from './graph.js'
import type { ChildEnd, ChildRequest, ChildStart, LogLevel, Transaction } from './step.js'

/**
 * What the engine asks of whoever runs it. The engine decides what happens next; the host evaluates user code, remembers what
 * happened and tells the watchers. One host serves one run.
 */
export interface Host {
  readonly clock: Clock
  /** Runs user JavaScript in a sandbox. Throws `ScriptError` when the code throws or meets a limit. */
  evaluate(evaluation: Evaluation, signal: AbortSignal): Promise<EvaluationResult>
  /** The account's secrets by key. */
  secrets(): Promise<Readonly<Record<string, string>>>
  /** The value with every secret replaced. What leaves a step passes through here before anyone else sees it. */
  mask<T extends Json>(value: T): T
  /** Hands an outcome to the journal, in order; resolves once it is durable. */
  record(outcome: StepOutcome): Promise<void>
  /** Records that a step which must not be repeated is about to start; resolves once that is durable. In order with outcomes. */
  open(step: OpenedStep): Promise<void>
  /**
   * Commits what `work` writes in its transaction together with the outcome that it resolves with, or nothing of both; resolves with what
   * was committed. What `work` throws is thrown on. `work` runs again where a transaction came to nothing by no fault of its own.
   */
  transact(
    step: OpenedStep,
    work: (transaction: Transaction) => Promise<StepOutcome>,
    signal: AbortSignal,
  ): Promise<StepOutcome>
  /** Resolves when `timer.dueAt` has come. May throw `Parked` when `timer.mayPark`. The timer is durable before anything waits for it. */
  sleep(timer: Timer, signal: AbortSignal): Promise<void>
  /** As `sleep`, ended early by a signal with this key. */
  waitForSignal(wait: SignalWait, signal: AbortSignal): Promise<{ data: Json } | undefined>
  /** Resolves with what was decided on the work of a node. May throw `Parked` when `wait.mayPark`. */
  approval(wait: ApprovalWait, signal: AbortSignal): Promise<Decision>
  /** A key-value entry as the run's flow sees it, or of the widest scope alone. */
  keyValue(key: string, scope: 'flow' | 'global'): Promise<Json | undefined>
  /** Starts a run below this one, once per path and attempt; what cannot be started is refused, not thrown. */
  startChild(child: ChildRequest & StepPlace): Promise<ChildStart>
  /** Resolves once a child has ended, or its time is over. May throw `Parked` when `wait.mayPark`. */
  childEnd(wait: ChildWait, signal: AbortSignal): Promise<ChildEnd>
  /** Throws once another process may have taken the run over. Asked in the moment before something is sent that cannot be taken back. */
  checkClaim(): void
  /** Tells watchers. Never blocks and never throws. */
  emit(event: RunEvent): void
  /** What lets a server that the attempt calls go on with the trace that the attempt belongs to; undefined where nothing is traced. */
  traceHeaders?(step: TracedStep): TraceHeaders | undefined
}

/** `traceparent`, and `tracestate` where there is one. */
export type TraceHeaders = Readonly<Record<string, string>>

export type TracedStep = Pick<StepOutcome, 'path' | 'attempt' | 'node' | 'nodeType' | 'startedAt'>

/** Which attempt at which step asks. */
export interface StepPlace {
  path: string
  attempt: number
}

/** Thrown by a waiting host to unload the run: nothing is lost, since the wait is a row; the run is interpreted again when it is due. */
export class Parked extends Error {
  constructor() {
    super('the run is parked until its timer or signal is due')
    this.name = 'Parked'
  }
}

export interface Timer {
  /** The step's path. */
  path: string
  attempt: number
  /**
   * 0 is the wait between this attempt and the next; a step's own sleeps count from 1, so that a step interpreted again finds each of
   * its waits as it left it.
   */
  ordinal: number
  kind: 'retry' | 'sleep'
  /** What the step asks for. A timer that is already recorded for this path, attempt and ordinal keeps its own due time. */
  dueAt: Date
  mayPark: boolean
}

export interface ChildWait extends StepPlace {
  id: string
  /** Counted from its start. */
  withinMs?: number
  mayPark: boolean
}

export interface SignalWait {
  path: string
  attempt: number
  key: string
  /** The first deadline recorded for this path and attempt holds. */
  deadline?: Date
  mayPark: boolean
}

export interface ApprovalWait {
  path: string
  node: string
  nodeType: string
  approval: Approval
  mayPark: boolean
}

/** What came of a wait for an approval; nobody is named where the time was over. */
export interface Decision {
  approved: boolean
  by?: string
  note?: string
}

export type { ConsoleLine, Evaluation, EvaluationResult, Script } from '../platform/sandbox/evaluation.js'
export { ScriptError } from '../platform/sandbox/evaluation.js'

/**
 * What came of one attempt at one step. The path is made of names: `fetch`, `fetch#2` on the second visit of a loop, `fetch[12]` for an
 * item of a batch, `fetch[]` for the list that a batch computed. `retrying` is an attempt that failed and has a successor due at
 * `dueAt`; the other states are final for the path.
 */
export interface StepOutcome {
  path: string
  attempt: number
  node: string
  nodeType: string
  state: 'succeeded' | 'failed' | 'retrying'
  action?: string
  output?: Json
  shared?: JsonObject
  error?: FlowError
  dueAt?: Date
  startedAt: Date
  finishedAt: Date
}

/** An attempt at a step from its start. */
export interface OpenedStep {
  path: string
  attempt: number
  startedAt: Date
}

/** A failure as a flow sees it in `error` and as a caller reads it. */
export interface FlowError {
  message: string
  code: string
  node?: string
  nodeType?: string
  output?: Json
}

/** What a watcher hears while a run goes on. The end of the run is told by the host, once it is durable. */
export type RunEvent =
  | { type: 'node_started'; node: string; nodeType: string; path: string; at: Date }
  | {
      type: 'node_completed'
      node: string
      nodeType: string
      path: string
      attempt: number
      result: Json
      /** Where it was not worked on, or its failure counts for nothing. */
      state?: 'filtered' | 'skipped'
      at: Date
    }
  | {
      type: 'node_failed'
      node: string
      nodeType: string
      path: string
      attempt: number
      message: string
      /** What it had put out. */
      output?: Json
      at: Date
    }
  | { type: 'node_waiting'; node: string; nodeType: string; path: string; at: Date }
  | {
      type: 'log'
      level: LogLevel
      message: string
      node?: string
      nodeType?: string
      data?: JsonObject
      /** Said by a step or its script, as often as it likes; the engine's own lines are few. */
      quoted?: true
      at: Date
    }

/** How a way through a graph ended. */
export type PassageEnding =
  | { state: 'completed'; result: JsonObject; node: string; nodeType: string }
  | { state: 'failed'; error: FlowError }

/** How a run came to rest. */
export type RunEnding = PassageEnding | { state: 'cancelled' } | { state: 'parked' }
