import { createHash } from 'node:crypto'
import { type StepContext, StepError, type StepResult, type StepType } from '../engine/step.js'
import { CronExpression, isCron } from '../platform/cron/cron-expression.js'
import { TimeZone } from '../platform/cron/time-zone.js'
import type { Json, JsonObject } from '../platform/json.js'
import { invalidParams } from './invalid-params.js'
import type { FlowSchedule, FlowSchedules } from './ports.js'

/** Plans further runs of a flow from within a flow, and looks after the plans. */
export function cron(schedules: FlowSchedules): StepType {
  return {
    name: 'cron',
    title: 'Schedule',
    category: 'control',
    summary: 'Schedules a flow to run from a node on, and lists, shows and deletes such schedules.',
    stepClass: 'transactional',
    classOf: ({ operation }) => (operation === 'list' || operation === 'get' ? 'pure' : 'transactional'),
    params: PARAMS,
    async run(params, step) {
      const joined = step.transaction ? schedules.within(step.transaction) : schedules
      return await OPERATIONS[(params.operation ?? 'schedule') as Operation](joined, params, step)
    },
  }
}

type Operation = 'schedule' | 'list' | 'get' | 'delete'

const OPERATIONS: Readonly<
  Record<Operation, (schedules: FlowSchedules, params: JsonObject, step: StepContext) => Promise<StepResult>>
> = {
  async schedule(schedules, params, step) {
    const text = String(params.schedule)
    const timezone = String(params.timezone ?? 'UTC')
    const next = nextRun(text, timezone, step.now())
    const made = await schedules.schedule(step.run, {
      id: String(params.id ?? defaultId(step)),
      cron: text,
      timezone,
      flowId: params.flow_id === undefined || params.flow_id === 'current' ? step.run.flowId : String(params.flow_id),
      node: startNode(params, step),
      payload: step.mask(params.payload === undefined ? step.input : params.payload),
    })
    return {
      output: {
        job_id: made.id,
        entry_id: made.id,
        schedule: made.cron,
        next_run_time: (made.nextRunAt ?? next).toISOString(),
      },
    }
  },

  async list(schedules, _, step) {
    return { output: { jobs: (await schedules.list(step.run)).map(describe) } }
  },

  async get(schedules, { id }, step) {
    const found = await schedules.get(step.run, String(id))
    if (!found) throw notFound(String(id))
    return { output: { ...describe(found), executions: found.executions.slice(0, 10) } }
  },

  async delete(schedules, { id }, step) {
    if (!(await schedules.delete(step.run, String(id)))) throw notFound(String(id))
    return { output: { deleted: true, id: String(id) } }
  },
}

/** The next moment that the schedule names. Throws where the schedule cannot be read or never comes. */
function nextRun(schedule: string, timezone: string, now: Date): Date {
  const invalid = (reason: string) =>
    new StepError(`schedule '${schedule.slice(0, 100)}' ${reason}`, { code: 'invalid_schedule', retryable: false })
  if (!isCron(schedule)) throw invalid('is not a cron expression of 5 or 6 fields')
  const next = new CronExpression(schedule).next(now, TimeZone.of(timezone))
  if (!next) throw invalid('never comes')
  return next
}

/** `next` is the node behind this one. Without such a node the flow would start over and schedule itself again and again. */
function startNode({ node_id = 'next', flow_id = 'current' }: JsonObject, step: StepContext): string | undefined {
  if (node_id !== 'next') return String(node_id)
  if (flow_id !== 'current' && flow_id !== step.run.flowId) return undefined
  if (step.nextNode === undefined) {
    throw invalidParams("cron has no next node to start at: give the node a 'default' edge or set node_id")
  }
  return step.nextNode
}

/** The same on every attempt, so that a repeated attempt replaces its schedule instead of adding one. */
function defaultId(step: StepContext): string {
  return `cron_${createHash('sha256').update(step.idempotencyKey).digest('hex').slice(0, 24)}`
}

function describe(one: FlowSchedule): Record<string, Json> {
  return {
    id: one.id,
    job_id: one.id,
    schedule: one.cron,
    timezone: one.timezone ?? null,
    flow_id: one.flowId ?? null,
    node_id: one.node ?? null,
    payload: one.payload ?? null,
    next_run_time: one.nextRunAt?.toISOString() ?? null,
  }
}

function notFound(id: string): StepError {
  return new StepError(`cron job not found: ${id}`, { code: 'schedule_not_found', retryable: false })
}

const needs = (operations: Operation[], name: string) => ({
  if: { required: ['operation'], properties: { operation: { enum: operations } } },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: { required: [name] },
})

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  anyOf: [{ required: ['operation'] }, { required: ['schedule'] }],
  allOf: [needs(['schedule'], 'schedule'), needs(['get', 'delete'], 'id')],
  properties: {
    operation: {
      type: 'string',
      enum: Object.keys(OPERATIONS),
      description: 'What to do: schedule (unless said otherwise), list, get or delete.',
    },
    schedule: {
      type: 'string',
      format: 'cron',
      description:
        'Cron expression of 5 fields, or of 6 with seconds first; ranges may wrap, and L, W and # count within the month.',
      examples: ['0 9 * * 1-5', '*/30 * * * * *', '@daily'],
    },
    timezone: {
      type: 'string',
      format: 'timezone',
      description: 'The IANA time zone that the schedule is meant in. Absent: UTC.',
      examples: ['Europe/Berlin'],
    },
    flow_id: {
      type: 'string',
      minLength: 1,
      description: 'The flow to run; current (unless said otherwise) is this one.',
      examples: ['current'],
    },
    node_id: {
      type: 'string',
      minLength: 1,
      description:
        'The node to start at; next (unless said otherwise) is the one behind this node, in another flow its start.',
      examples: ['next', 'report'],
    },
    payload: {
      description: "The scheduled run's input, secrets masked. Absent: the data that came in.",
      examples: [{ report: 'daily' }],
    },
    id: {
      type: 'string',
      minLength: 1,
      maxLength: 255,
      description:
        'The id of the schedule. An id that exists already is replaced. Absent for schedule: made for this step.',
      examples: ['daily-report'],
    },
  },
}
