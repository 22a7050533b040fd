import { flwdLanguage } from '../../../definitions/flwd/index.js'
import { STAGE } from '../../../engine/graph.js'
import type { JsonObject } from '../../../platform/json.js'
import { DateField, EnumField, IdField, IntField, StringField } from '../../../platform/openapi/fields.js'
import type { ServerEvent } from '../../../platform/realtime/event-streams.js'
import { CONTAINER_STEP, PROCESS_STEP } from '../../../steps/process/job-step.js'
import type { FeedEvent } from '../feed/feed-events.js'
import type { StoredEvent } from '../journal/records.js'
import { RUN_STATUSES, toStatus } from './run-status.js'

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const
export const CHANNELS = ['stdout', 'stderr'] as const
const STEP_STATUSES = ['running', 'success', 'failed', 'skipped'] as const

/** Which events to tell, and from where on. */
export class FlwdRunEventsQuery {
  @IdField({
    description: 'Only events of this run: from its first on, unless a cursor is given, and until its end.',
    example: 'run_01HX3YB1V7Q8G4Z9T5W2K6M0NP',
    optional: true,
    minLength: 1,
  })
  run_id?: string

  @StringField({
    description: 'Only events of runs of this job, or of this flow.',
    example: 'backup/daily',
    optional: true,
    minLength: 1,
  })
  job_id?: string

  @StringField({
    description: 'As `Last-Event-ID`, for clients that cannot set headers; the header counts where both are there.',
    example: '1024',
    optional: true,
    minLength: 1,
    maxLength: 64,
  })
  last_event_id?: string
}

/** What an event tells; which members it has follows from its type. */
export class FlwdRunEvent {
  @IdField({ description: 'The run.', example: 'run_01HX3YB1V7Q8G4Z9T5W2K6M0NP' })
  run_id: string

  @StringField({ description: 'The job that runs, or the flow.', example: 'backup/daily' })
  job_id: string

  @DateField({ description: 'When it happened.', example: '2024-01-15T10:30:01Z' })
  timestamp: string

  @EnumField(LEVELS, { description: 'How grave it is.', example: 'info', name: 'FlwdLogLevel' })
  level: string

  @StringField({
    description: 'What happened; of `run.output` and `step.output` the line itself. Secrets are masked.',
    example: 'Processing...',
    minLength: 0,
    maxLength: 1_000_000,
  })
  message: string

  @StringField({
    description: 'The step. Of the events of steps.',
    example: 'step_01',
    optional: true,
  })
  step_id?: string

  @EnumField(CHANNELS, {
    description: 'Where a process wrote the line. Of `step.output`.',
    example: 'stdout',
    optional: true,
    name: 'FlwdChannel',
  })
  channel?: string

  @EnumField([...new Set([...RUN_STATUSES, ...STEP_STATUSES])], {
    description: 'How the run or the step stands. Of all but output.',
    example: 'running',
    optional: true,
    name: 'FlwdEventStatus',
  })
  status?: string

  @IntField({
    description: 'What the process of a step ended with. Of `step.finished`.',
    example: 0,
    optional: true,
    min: -1,
    max: 65_535,
  })
  exit_code?: number

  @IntField({ description: 'Which attempt it was, from 1. Of `step.finished`.', example: 1, optional: true, min: 1 })
  attempt?: number

  @StringField({
    description: 'Why it failed. Of `run.finished` and `step.finished`.',
    example: 'exit code 1',
    optional: true,
    maxLength: 1_000_000,
  })
  error?: string
}

/** What flwd calls what happened, with its data; undefined for what it has no word for. */
export function toServerEvent(event: FeedEvent, jobId: string): ServerEvent | undefined {
  // A stage is how the steps of a job are put together, and none of them.
  const told = event.type !== 'log' && 'nodeType' in event && event.nodeType === STAGE ? undefined : named(event)
  if (!told) return undefined
  const { name, level = 'info', message, ...rest } = told
  const data = {
    run_id: event.runId,
    job_id: jobId,
    timestamp: event.at,
    level,
    message,
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
  }
  return { id: event.id, event: name, data: data as JsonObject }
}

type Told = Partial<FlwdRunEvent> & { name: string; message: string }

function named(event: FeedEvent): Told | undefined {
  switch (event.type) {
    case 'created':
      return { name: 'run.created', message: 'Run created', status: toStatus.queued }
    case 'started':
      return { name: 'run.started', message: 'Run started', status: toStatus.running }
    case 'finished': {
      const error = event.state === 'failed' ? (event.error?.message ?? 'the run failed') : undefined
      const message = { completed: 'Run succeeded', failed: 'Run failed', cancelled: 'Run cancelled' }[
        event.state as string
      ]
      return {
        name: 'run.finished',
        level: error === undefined ? 'info' : 'error',
        message: message ?? 'Run finished',
        status: toStatus[event.state],
        error,
      }
    }
    case 'log': {
      const { level, message = '' } = event
      const step_id = stepOf(event)
      return { name: step_id ? 'step.output' : 'run.output', level, message, step_id, channel: channelOf(event) }
    }
    case 'node_started':
      return { name: 'step.started', message: 'Step started', step_id: event.node, status: 'running' }
    case 'node_completed': {
      const { node: step_id, exitCode: exit_code, attempt } = event
      const status = event.state === undefined ? 'success' : 'skipped'
      const message = status === 'success' ? 'Step succeeded' : 'Step skipped'
      return { name: 'step.finished', message, step_id, status, exit_code, attempt }
    }
    case 'node_failed': {
      const { node: step_id, exitCode: exit_code, attempt, message: error } = event
      return {
        name: 'step.finished',
        level: 'error',
        message: 'Step failed',
        step_id,
        status: 'failed',
        exit_code,
        attempt,
        error,
      }
    }
    case 'node_waiting':
      return undefined
  }
}

/** The step that a line is of, as the process that wrote it was told; none where a job's run tells of itself. */
export function stepOf({ node, nodeType, message, data }: Line): string | undefined {
  if (typeof data?.step === 'string') return data.step
  const isStep = nodeType === PROCESS_STEP || nodeType === CONTAINER_STEP
  return nodeType === STAGE || (isStep && RUN_WORDS.has(message ?? '')) ? undefined : node
}

type Line = Pick<StoredEvent, 'node' | 'nodeType' | 'message' | 'data'>

/** What the engine says of a job's run as a whole; it names the step at which it does. */
const RUN_WORDS: ReadonlySet<string> = new Set(Object.values(flwdLanguage.words))

export function channelOf({ data }: { data?: JsonObject }): string | undefined {
  return (CHANNELS as readonly unknown[]).includes(data?.channel) ? String(data?.channel) : undefined
}
