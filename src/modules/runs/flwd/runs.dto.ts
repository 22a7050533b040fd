import { isJsonObject, type Json, type JsonObject } from '../../../platform/json.js'
import {
  ArrayField,
  BooleanField,
  DateField,
  EnumField,
  IdField,
  IntField,
  JsonField,
  ObjectField,
  QueryBooleanField,
  StringField,
} from '../../../platform/openapi/fields.js'
import { pagedBy } from '../../../platform/openapi/paging.js'
import { PROFILES } from '../../../platform/processes/profiles.js'
import type { StoredEvent } from '../journal/records.js'
import type { LogEntry, Page, Run, RunSummary } from '../runs.queries.js'
import type { AcceptedRun } from '../runs.service.js'
import { CHANNELS, channelOf, LEVELS, stepOf } from './run-events.dto.js'
import { RUN_STATUSES, type RunStatus, toStatus } from './run-status.js'

/** A run to be made. */
export class FlwdNewRun {
  @StringField({ description: 'The job.', example: 'backup/daily' })
  job_id: string

  @ObjectField({
    description: 'Its arguments, as the schema of the job asks; what is left out has its default.',
    example: { target: '/mnt/backup' },
    optional: true,
  })
  args?: JsonObject

  @StringField({
    description: "The caller's tenant; another one is refused.",
    example: 'default',
    optional: true,
    minLength: 1,
    maxLength: 64,
  })
  tenant?: string

  @BooleanField({
    description: 'False waits for the end of the run, five minutes at most, and answers how it stands then.',
    example: true,
    optional: true,
    default: true,
  })
  async?: boolean

  @EnumField(PROFILES, {
    description: "Instead of the job's own security profile, where the operator lets requests choose it.",
    example: 'secure',
    optional: true,
    name: 'FlwdSecurityProfile',
  })
  security_profile?: string
}

/** One run of one job, as lists show it. */
export class FlwdRunSummary {
  @IdField({ description: "The run's id.", example: 'run_01HX...' })
  run_id: string

  @StringField({ description: 'The job that runs, or the flow.', example: 'backup/daily' })
  job_id: string

  @EnumField(RUN_STATUSES, { description: 'How it stands.', example: 'running', name: 'FlwdRunStatus' })
  status: RunStatus

  @DateField({ description: 'When it was accepted.', example: '2024-01-15T10:30:00Z' })
  created_at: string

  @DateField({ description: 'When it ended; absent while it runs.', example: '2024-01-15T10:35:00Z', optional: true })
  finished_at?: string

  @StringField({
    description: 'Why it failed; absent unless it did.',
    example: 'exit code 1',
    maxLength: 1_000_000,
    optional: true,
  })
  error?: string
}

/** What a run came to. */
export class FlwdRunResult {
  @JsonField({
    description:
      'What the job left in `result.json`, or as the last line of its output where that is JSON; absent where it left neither.',
    example: { files_backed_up: 1234, total_size_mb: 5678 },
    optional: true,
  })
  value?: Json
}

/** One run of one job. */
export class FlwdRun extends FlwdRunSummary {
  @ObjectField({
    description:
      'Its arguments with their defaults. `[secret]` stands for what is secret. Absent in the answer to a run that has just begun.',
    example: { target: '/mnt/backup' },
    optional: true,
  })
  args?: JsonObject

  @ObjectField({
    type: () => FlwdRunResult,
    description: 'What it came to; absent unless it succeeded.',
    optional: true,
  })
  result?: FlwdRunResult
}

/** Which runs to list. */
export class FlwdRunsQuery extends pagedBy({ default: 100, max: 1000 }) {
  @StringField({
    description: 'Only runs of this job, or of this flow.',
    example: 'backup/daily',
    optional: true,
    minLength: 1,
  })
  job_id?: string

  @EnumField(RUN_STATUSES, { description: 'Only runs that stand so.', example: 'success', optional: true })
  status?: RunStatus
}

/** One page of runs. */
export class FlwdRunList {
  @ArrayField({ of: () => FlwdRunSummary, description: 'This page, newest first.' })
  runs: FlwdRunSummary[]

  @IntField({ description: 'How many there are before paging.', example: 42 })
  total: number
}

/** That a run is cancelled. */
export class FlwdCancelledRun {
  @IdField({ description: "The run's id.", example: 'run_01HX...' })
  run_id: string

  @EnumField(['cancelled'], { description: 'How it stands.', example: 'cancelled' })
  status: 'cancelled'
}

/** Which lines of a log, and how. */
export class FlwdRunLogsQuery extends pagedBy({ default: 1000, max: 10_000 }) {
  @QueryBooleanField({
    description: 'True answers a stream of server-sent events that goes on until the run ends.',
    example: false,
    optional: true,
  })
  follow?: boolean

  @DateField({ description: 'Only lines from this moment on.', example: '2024-01-15T10:30:00Z', optional: true })
  since?: string

  @StringField({
    description: 'As `Last-Event-ID`, for clients that cannot set headers; the header counts where both are there.',
    example: '12',
    optional: true,
    minLength: 1,
    maxLength: 64,
  })
  last_event_id?: string
}

/** One line of a run's log. Secrets are masked. */
export class FlwdLogEntry {
  @DateField({ description: 'When it was written.', example: '2024-01-15T10:30:01Z' })
  timestamp: string

  @EnumField(LEVELS, { description: 'How grave it is.', example: 'info', name: 'FlwdLogLevel' })
  level: string

  @StringField({ description: 'The line.', example: 'Starting backup...', minLength: 0, maxLength: 1_000_000 })
  message: string

  @StringField({ description: 'The step that wrote it.', example: 'step_01', optional: true })
  step_id?: string

  @EnumField(CHANNELS, {
    description: 'Where its process wrote it.',
    example: 'stdout',
    optional: true,
    name: 'FlwdChannel',
  })
  channel?: string
}

/** One page of a run's log. */
export class FlwdRunLogs {
  @ArrayField({ of: () => FlwdLogEntry, description: 'This page, oldest first.' })
  logs: FlwdLogEntry[]
}

/** A run with what flwd calls its job. */
export interface NamedRun<Of> {
  run: Of
  jobId: string
}

function toRunSummary({
  run,
  jobId,
}: NamedRun<Pick<RunSummary, 'id' | 'state' | 'createdAt'> & Partial<RunSummary>>): FlwdRunSummary {
  return {
    run_id: run.id,
    job_id: jobId,
    status: toStatus[run.state],
    created_at: run.createdAt.toISOString(),
    finished_at: run.finishedAt?.toISOString(),
    error: run.state === 'failed' ? (run.error?.message ?? 'the run failed') : undefined,
  }
}

/** What has only been accepted is told in short. */
export function toCreated({ run, jobId }: NamedRun<Run | AcceptedRun>): FlwdRun {
  return 'input' in run ? toRun({ run, jobId }) : toRunSummary({ run, jobId })
}

export function toRun(named: NamedRun<Run>): FlwdRun {
  const { run, jobId } = named
  return {
    ...toRunSummary(named),
    args: isJsonObject(run.input) ? run.input : { input: run.input },
    // A job says what its value is; of other flows the whole result is one.
    result: run.result && (jobId === run.flowId ? { value: run.result } : { value: run.result.value }),
  }
}

export function toRunList(page: Page<NamedRun<RunSummary>>): FlwdRunList {
  return { runs: page.items.map(toRunSummary), total: page.total }
}

export function toLogs(page: Page<LogEntry>): FlwdRunLogs {
  return { logs: page.items.map(toLogEntry) }
}

export function toLogEntry(
  entry: Pick<StoredEvent, 'at' | 'level' | 'message' | 'node' | 'nodeType' | 'data'>,
): FlwdLogEntry {
  return {
    timestamp: entry.at,
    level: entry.level ?? 'info',
    message: entry.message ?? '',
    step_id: stepOf(entry),
    channel: channelOf(entry),
  }
}
