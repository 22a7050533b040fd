import { FlowRunnerPage } from '../../../dialects/flowrunner.paging.js'
import { isJsonObject, type JsonObject } from '../../../platform/json.js'
import {
  ArrayField,
  DateField,
  EnumField,
  IdField,
  IntField,
  ObjectField,
  QueryBooleanField,
  StringField,
} from '../../../platform/openapi/fields.js'
import { pagedBy } from '../../../platform/openapi/paging.js'
import type { RunState } from '../run-state.js'
import type { LogEntry, Page, Run, RunSummary } from '../runs.queries.js'

export const EXECUTION_STATUSES = ['running', 'completed', 'failed', 'cancelled'] as const

export type ExecutionStatus = (typeof EXECUTION_STATUSES)[number]

/** FlowRunner has one word for everything that has not ended. */
export const toStatus: Record<RunState, ExecutionStatus> = {
  queued: 'running',
  running: 'running',
  waiting: 'running',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
}

/** What a status stands for; `canceled` is understood as well. */
export function statesOf(status: string | undefined): RunState[] | undefined {
  if (status === undefined) return undefined
  const word = status === 'canceled' ? 'cancelled' : status
  return (Object.keys(toStatus) as RunState[]).filter((state) => toStatus[state] === word)
}

/** What an execution is started with. */
export class FlowRunnerRunRequest {
  @ObjectField({
    description: "The execution's input; the start node sees it as `input`.",
    example: { key: 'value' },
    optional: true,
  })
  input?: JsonObject
}

/** An execution that has been accepted: from now on it survives a restart. */
export class FlowRunnerAcceptedExecution {
  @IdField({ description: "The execution's id.", example: 'exec-123' })
  execution_id: string

  @IdField({ description: 'The flow that runs.', example: 'flow-123' })
  flow_id: string

  @EnumField(EXECUTION_STATUSES, {
    description: 'How it stands.',
    example: 'running',
    name: 'FlowRunnerExecutionStatus',
  })
  status: ExecutionStatus

  @DateField({ description: 'When it was accepted.', example: '2023-01-01T12:00:00Z' })
  created_at: string
}

/** One execution of one flow, as lists show it. */
export class FlowRunnerExecutionSummary {
  @IdField({ description: "The execution's id.", example: 'exec-123' })
  id: string

  @IdField({ description: 'The flow that runs.', example: 'flow-123' })
  flow_id: string

  @EnumField(EXECUTION_STATUSES, {
    description: 'How it stands.',
    example: 'completed',
    name: 'FlowRunnerExecutionStatus',
  })
  status: ExecutionStatus

  @DateField({ description: 'When it was accepted.', example: '2023-01-01T12:00:00Z' })
  started_at: string

  @DateField({ description: 'When it ended; absent while it runs.', example: '2023-01-01T12:00:05Z', optional: true })
  completed_at?: string

  @IntField({
    description: 'Milliseconds from acceptance to the end; absent while it runs.',
    example: 5000,
    optional: true,
  })
  duration?: number

  @StringField({
    description: 'Why it failed; absent unless it did.',
    example: 'HTTP request failed with status 500',
    maxLength: 1_000_000,
    optional: true,
  })
  error?: string

  @IdField({
    description: 'The execution whose node started this one; absent where none did.',
    example: 'exec-100',
    optional: true,
  })
  parent_id?: string

  @IdField({
    description: 'The execution that this one was resumed or replayed from; absent where it was neither.',
    example: 'exec-101',
    optional: true,
  })
  resumed_from?: string
}

/** One execution of one flow. */
export class FlowRunnerExecution extends FlowRunnerExecutionSummary {
  @ObjectField({ description: 'What it was given.', example: { key: 'value' } })
  input: JsonObject

  @ObjectField({
    description: "The last node's output; a value that is no object stands under `result`. Absent unless completed.",
    example: { output: 'value' },
    optional: true,
  })
  result?: JsonObject
}

/** Which executions to list. */
export class FlowRunnerExecutionsQuery extends pagedBy({ default: 10, max: 100 }) {
  @IdField({ description: 'Only executions of this flow.', example: 'flow-123', optional: true })
  flow_id?: string

  @EnumField([...EXECUTION_STATUSES, 'canceled'], {
    description: 'Only executions that stand so. `canceled` means `cancelled`.',
    example: 'completed',
    optional: true,
  })
  status?: string

  @IdField({ description: 'Only executions that nodes of this one started.', example: 'exec-100', optional: true })
  parent_id?: string

  @IdField({
    description: 'Only executions that were resumed or replayed from this one.',
    example: 'exec-101',
    optional: true,
  })
  resumed_from?: string

  @QueryBooleanField({
    description:
      'True: only executions that were given up because their processes ended again and again, and that nobody has resumed or replayed yet. False: only others.',
    example: true,
    optional: true,
  })
  dead_letter?: boolean
}

/** One page of executions. */
export class FlowRunnerExecutionList extends FlowRunnerPage {
  @ArrayField({ of: () => FlowRunnerExecutionSummary, description: 'This page, newest first.' })
  executions: FlowRunnerExecutionSummary[]
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const

/** Which lines of a log to show. */
export class FlowRunnerLogsQuery extends pagedBy({ default: 10, max: 1000 }) {
  @EnumField(LOG_LEVELS, { description: 'Only lines of exactly this level.', example: 'info', optional: true })
  level?: (typeof LOG_LEVELS)[number]
}

/** One line of an execution's log. Secrets are masked. */
export class FlowRunnerLogEntry {
  @DateField({ description: 'When it happened.', example: '2023-01-01T12:00:01Z' })
  timestamp: string

  @EnumField(LOG_LEVELS, { description: 'How grave it is.', example: 'info', name: 'FlowRunnerLogLevel' })
  level: (typeof LOG_LEVELS)[number]

  @StringField({
    description: 'What happened.',
    example: 'HTTP request successful',
    maxLength: 1_000_000,
    minLength: 0,
  })
  message: string

  @StringField({ description: 'The node that it happened in.', example: 'start', optional: true })
  node_id?: string

  @StringField({ description: "That node's type.", example: 'http.request', optional: true })
  node_type?: string

  @ObjectField({
    description: 'More about it.',
    example: { status_code: 200, url: 'https://api.example.com/data' },
    optional: true,
  })
  data?: JsonObject
}

/** One page of an execution's log. */
export class FlowRunnerLogs extends FlowRunnerPage {
  @ArrayField({ of: () => FlowRunnerLogEntry, description: 'This page, oldest first.' })
  logs: FlowRunnerLogEntry[]
}

/** That the execution is cancelled. */
export class FlowRunnerExecutionMessage {
  @StringField({ description: 'What was done.', example: 'Execution cancelled successfully' })
  message: string
}

export function toAccepted(run: {
  id: string
  flowId: string
  state: RunState
  createdAt: Date
}): FlowRunnerAcceptedExecution {
  return {
    execution_id: run.id,
    flow_id: run.flowId,
    status: toStatus[run.state],
    created_at: run.createdAt.toISOString(),
  }
}

export function toFilter(query: FlowRunnerExecutionsQuery) {
  return {
    flowId: query.flow_id,
    states: statesOf(query.status),
    parentId: query.parent_id,
    resumedFrom: query.resumed_from,
    isDead: query.dead_letter,
  }
}

export function toExecutionSummary(run: RunSummary): FlowRunnerExecutionSummary {
  return {
    id: run.id,
    flow_id: run.flowId,
    status: toStatus[run.state],
    started_at: run.createdAt.toISOString(),
    completed_at: run.finishedAt?.toISOString(),
    duration: run.finishedAt && run.finishedAt.getTime() - run.createdAt.getTime(),
    error: run.error?.message,
    parent_id: run.parentId,
    resumed_from: run.resumedFrom,
  }
}

export function toExecution(run: Run): FlowRunnerExecution {
  return {
    ...toExecutionSummary(run),
    input: isJsonObject(run.input) ? run.input : { input: run.input },
    result: run.result,
  }
}

export function toExecutionList(
  page: Page<RunSummary>,
  query: { limit: number; offset: number },
): FlowRunnerExecutionList {
  return {
    executions: page.items.map(toExecutionSummary),
    total: page.total,
    limit: query.limit,
    offset: query.offset,
  }
}

export function toLogs(page: Page<LogEntry>, query: { limit: number; offset: number }): FlowRunnerLogs {
  return { logs: page.items.map(toLogEntry), total: page.total, limit: query.limit, offset: query.offset }
}

function toLogEntry(entry: LogEntry): FlowRunnerLogEntry {
  return {
    timestamp: entry.at,
    level: entry.level,
    message: entry.message,
    node_id: entry.node,
    node_type: entry.nodeType,
    data: entry.data,
  }
}
