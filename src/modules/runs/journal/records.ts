import type { OpenedStep, StepOutcome } from '../../../engine/host.js'
import type { Json, JsonObject } from '../../../platform/json.js'
import type { AuditNote } from '../../audit/audit-trail.js'
import type { FinalState } from '../run-state.js'

/** A run to accept. `running` is taken by the accepting process at once; `queued` waits for whoever has room. */
export interface NewRun {
  id: string
  tenantId: string
  accountId: string
  flowId: string
  revision: number
  state: 'running' | 'queued'
  trigger: RunTrigger
  startNode?: string
  input: Json
  /** From -100 to 100; what is higher is claimed first. Absent means 0. */
  priority?: number
  /** Which workers may take it; absent means `default`. */
  tag?: string
  /** At most so many runs of this account with this key run at the same time. Such a run is accepted `queued`. */
  concurrency?: { key: string; limit: number }
  idempotencyKey?: string
  /** Tells whether a repeated key came with the same request. */
  requestHash?: string
  createdAt: Date
  /** Whether its account's event stream tells of it from now on, and not only once it has done something. */
  isTold?: boolean
  /** Who asked, for the audit trail: `run.start`, after it `flowId` and `revision`. Absent where nobody did (a schedule). */
  audit?: AuditNote
}

export type RunTrigger = 'api' | 'schedule' | 'channel'

/** The run that an accept stands for: the new one, or the earlier one with the same idempotency key. */
export interface Accepted {
  id: string
  createdAt: Date
  requestHash?: string
  /** True when the key was used before. */
  repeated: boolean
}

export interface TimerRecord {
  path: string
  attempt: number
  ordinal: number
  dueAt: Date
}

/** An entry of a run's event sequence as it is stored. `result` of a completed node is in its outcome, not here. */
export interface StoredEvent {
  seq: number
  type: 'node_started' | 'node_completed' | 'node_failed' | 'node_waiting' | 'log'
  at: string
  node?: string
  nodeType?: string
  level?: string
  message?: string
  data?: JsonObject
  /** Of a completed node that was not worked on, or whose failure counts for nothing. */
  state?: 'filtered' | 'skipped'
  /** Of all but lines of the log, the visit's; with the attempt, that of the outcome that holds a completed node's result. */
  path?: string
  attempt?: number
  /** Of a process that a step was, once it has ended. */
  exitCode?: number
}

export interface Ending {
  state: FinalState
  result?: JsonObject
  error?: JsonObject
  finishedAt: Date
}

/**
 * What a run hands to the journal. `epoch` is the run's when this process took it; `tenantId` says whose object its large values become,
 * which stay in their rows where it is absent.
 */
export type JournalRecord =
  | { kind: 'accept'; run: NewRun }
  | { kind: 'outcome'; runId: string; tenantId?: string; outcome: StepOutcome }
  /** An attempt that may not be repeated, recorded before it begins. */
  | { kind: 'open'; runId: string; open: OpenedStep }
  | { kind: 'timer'; runId: string; timer: TimerRecord }
  | { kind: 'events'; runId: string; accountId: string; events: readonly StoredEvent[] }
  | { kind: 'release'; runId: string; epoch: number; state: 'queued' | 'waiting'; wakeAt: Date | null }
  | {
      kind: 'finish'
      runId: string
      accountId: string
      tenantId?: string
      /** The run above it, whose row its end touches. */
      parentId?: string
      epoch: number
      ending: Ending
      events: readonly StoredEvent[]
    }

/** The run that a record belongs to. */
export function runOf(record: JournalRecord): string {
  return record.kind === 'accept' ? record.run.id : record.runId
}

/** The process that writes, as its row in `engine_instance` names it. */
export interface Writer {
  id: string
  /** The instance's number in the advisory lock that fences it off. */
  fence: number
}
