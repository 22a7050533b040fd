import { Flow8Page, type Flow8PageQuery, pageOf } from '../../../dialects/flow8.paging.js'
import { ValidationFailed } from '../../../platform/http/faults.js'
import type { Json, JsonObject } from '../../../platform/json.js'
import {
  ArrayField,
  BooleanField,
  DateField,
  EnumField,
  IdField,
  IntField,
  ObjectField,
  StringField,
} from '../../../platform/openapi/fields.js'
import { MISSED, type Missed, OVERLAPS, type Overlap } from '../due-slots.js'
import type { Schedule } from '../schedule.entity.js'
import type { NewSchedule, ScheduleChange, SchedulePage, ScheduleTarget } from '../schedules.service.js'

const texts = {
  name: { description: 'The name people know it by.', example: 'Nightly report', maxLength: 200 },
  flowId: { description: 'The flow that it starts.', example: 'flow-123' },
  jobId: {
    description: 'The job that it starts, by the path of its folder, such as `backup/daily`.',
    example: null,
    maxLength: 500,
  },
  cron: {
    description:
      'When it comes: 5 fields, or 6 with seconds first; names, ranges that wrap (`FRI-MON`, `22-2`), steps, `L`, `W`, `#`, or a nickname such as `@daily`. Where the day of the month and of the week are both given, either is enough; with `+` before the day of the week, both must fit. What clocks leave out comes once, right after; what they show twice comes once, unless it comes in every hour.',
    example: '0 3 * * MON-FRI',
    maxLength: 200,
  },
  every: {
    description: 'An interval in place of cron, from one second to 366 days, such as `15m`, `1h30m`, `2d` or `PT15M`.',
    example: null,
    maxLength: 50,
  },
  timezone: { description: 'The IANA time zone whose clocks cron means.', example: 'Europe/Berlin', maxLength: 60 },
  args: {
    description: 'The arguments that each play is started with; those of a job must fit it, and none may be a secret.',
    example: { report: 'daily' },
  },
  enabled: {
    description: 'False while it is paused. Slots that come during a pause are not made up for.',
    example: true,
  },
  overlap: {
    description:
      'What a slot does while a play of the schedule is under way: be skipped, start beside it, wait for its end, or cancel it.',
    example: 'skip',
    name: 'Flow8ScheduleOverlap',
  },
  missed: {
    description:
      'What is made up for when nothing was there to start a slot: nothing, the last slot, or all (at most 100 at once; for `allow` and `queue`).',
    example: 'last',
    name: 'Flow8ScheduleMissed',
  },
  jitterSeconds: {
    description: 'Each slot starts up to so many seconds later, always the same for the same slot.',
    example: 0,
    max: 86_400,
  },
}

/** A schedule to be made. */
export class Flow8NewSchedule {
  @StringField({
    ...texts.name,
    description: `${texts.name.description} Left out, how often it comes.`,
    optional: true,
    minLength: 1,
  })
  name?: string

  @IdField({
    ...texts.flowId,
    description: `${texts.flowId.description} Either this or jobId is required.`,
    optional: true,
    nullable: true,
    minLength: 1,
  })
  flowId?: string | null

  @StringField({ ...texts.jobId, optional: true, nullable: true, minLength: 1 })
  jobId?: string | null

  @StringField({
    ...texts.cron,
    description: `${texts.cron.description} Either this or every is required.`,
    optional: true,
    nullable: true,
  })
  cron?: string | null

  @StringField({ ...texts.every, optional: true, nullable: true })
  every?: string | null

  @StringField({ ...texts.timezone, optional: true, minLength: 1, default: 'UTC' })
  timezone?: string

  @ObjectField({ ...texts.args, optional: true })
  args?: JsonObject

  @BooleanField({ ...texts.enabled, optional: true, default: true })
  enabled?: boolean

  @EnumField(OVERLAPS, { ...texts.overlap, optional: true, default: 'skip' })
  overlap?: Overlap

  @EnumField(MISSED, { ...texts.missed, optional: true, default: 'last' })
  missed?: Missed

  @IntField({ ...texts.jitterSeconds, optional: true, default: 0 })
  jitterSeconds?: number
}

/** What to change of a schedule; what is left out stays. */
export class Flow8ScheduleChange {
  @StringField({ ...texts.name, optional: true, minLength: 1 })
  name?: string

  @IdField({
    ...texts.flowId,
    description: `${texts.flowId.description} It takes the place of a job.`,
    optional: true,
    nullable: true,
    minLength: 1,
  })
  flowId?: string | null

  @StringField({
    ...texts.jobId,
    description: `${texts.jobId.description} It takes the place of a flow.`,
    optional: true,
    nullable: true,
    minLength: 1,
  })
  jobId?: string | null

  @StringField({
    ...texts.cron,
    description: `${texts.cron.description} It takes the place of an interval.`,
    optional: true,
    nullable: true,
  })
  cron?: string | null

  @StringField({
    ...texts.every,
    description: `${texts.every.description} It takes the place of cron.`,
    optional: true,
    nullable: true,
  })
  every?: string | null

  @StringField({ ...texts.timezone, optional: true, minLength: 1 })
  timezone?: string

  @ObjectField({ ...texts.args, optional: true })
  args?: JsonObject

  @BooleanField({ ...texts.enabled, optional: true })
  enabled?: boolean

  @EnumField(OVERLAPS, { ...texts.overlap, optional: true })
  overlap?: Overlap

  @EnumField(MISSED, { ...texts.missed, optional: true })
  missed?: Missed

  @IntField({ ...texts.jitterSeconds, optional: true })
  jitterSeconds?: number
}

/** What starts plays of a flow, or runs of a job, again and again, and when. */
export class Flow8Schedule {
  @StringField({
    description: "The schedule's id. A flow that makes one gives it an id of its own choosing.",
    example: 'schedule-123',
    maxLength: 255,
  })
  id: string

  @StringField({ ...texts.name, maxLength: 255, minLength: 0 })
  name: string

  @IdField({ ...texts.flowId, description: 'The flow that it starts; null where it starts a job.', nullable: true })
  flowId: string | null

  @StringField({
    ...texts.jobId,
    description: 'The job that it starts, by the path of its folder; null where it starts a flow.',
    nullable: true,
  })
  jobId: string | null

  @StringField({
    ...texts.cron,
    description: 'The cron expression; null where it comes at an interval.',
    nullable: true,
    maxLength: 1000,
  })
  cron: string | null

  @StringField({ ...texts.every, description: 'The interval; null where it comes by cron.', nullable: true })
  every: string | null

  @StringField(texts.timezone)
  timezone: string

  @ObjectField({
    ...texts.args,
    description: `${texts.args.description} What a flow has given that is no object stands below \`input\`.`,
  })
  args: JsonObject

  @BooleanField(texts.enabled)
  enabled: boolean

  @EnumField(OVERLAPS, texts.overlap)
  overlap: Overlap

  @EnumField(MISSED, texts.missed)
  missed: Missed

  @IntField(texts.jitterSeconds)
  jitterSeconds: number

  @DateField({ description: 'When it last started a play.', example: '2026-03-02T02:00:00.120Z', nullable: true })
  lastRunAt: string | null

  @DateField({
    description: 'The slot that comes next; null while it is paused, and when none comes any more.',
    example: '2026-03-03T02:00:00Z',
    nullable: true,
  })
  nextRunAt: string | null

  @DateField({ description: 'When it was made.', example: '2026-03-01T12:00:00Z' })
  createdAt: string

  @DateField({ description: 'When somebody last changed it.', example: '2026-03-01T12:00:00Z' })
  updatedAt: string
}

/** One page of schedules. */
export class Flow8ScheduleList extends Flow8Page {
  @ArrayField({ of: () => Flow8Schedule, description: 'This page, oldest first.' })
  data: Flow8Schedule[]
}

export function toNewSchedule({ flowId, jobId, args, ...rest }: Flow8NewSchedule): NewSchedule {
  return { ...rest, target: targetOf(flowId, jobId), payload: args ?? {} }
}

export function toScheduleChange({ flowId, jobId, args, ...rest }: Flow8ScheduleChange): ScheduleChange {
  const stays = flowId === undefined && jobId === undefined
  return { ...rest, payload: args, target: stays ? undefined : targetOf(flowId, jobId) }
}

function targetOf(flowId: string | null = null, jobId: string | null = null): ScheduleTarget {
  if (flowId === null && jobId === null)
    throw new ValidationFailed([{ pointer: '#/flowId', detail: 'Flow id or job id is required', code: 'required' }])
  if (jobId === null) return { type: 'flow', id: flowId as string }
  if (flowId === null) return { type: 'job', id: jobId }
  const detail = 'Job id cannot stand beside flow id: give one of them'
  throw new ValidationFailed([{ pointer: '#/jobId', detail, code: 'excluded' }])
}

/** Faults of a schedule, at the members that they have here. */
export async function inFlow8Words<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof ValidationFailed)) throw error
    throw new ValidationFailed(
      error.faults.map((fault) => ({
        ...fault,
        pointer: fault.pointer.replace(/^#\/input(?=\/|$)/, '#/args').replace(/^#\/target\/id$/, '#/jobId'),
      })),
    )
  }
}

export function toSchedule(schedule: Schedule): Flow8Schedule {
  return {
    id: schedule.id,
    name: schedule.name,
    flowId: schedule.targetType === 'flow' ? schedule.flowId : null,
    jobId: schedule.jobId,
    cron: schedule.cron,
    every: schedule.every,
    timezone: schedule.timezone ?? 'UTC',
    args: toArgs(schedule.payload as Json),
    enabled: schedule.enabled,
    overlap: schedule.overlap,
    missed: schedule.missed,
    jitterSeconds: schedule.jitterMs / 1_000,
    lastRunAt: schedule.lastRunAt?.toISOString() ?? null,
    nextRunAt: schedule.nextRunAt?.toISOString() ?? null,
    createdAt: schedule.createdAt.toISOString(),
    updatedAt: schedule.updatedAt.toISOString(),
  }
}

export function toScheduleList({ schedules, total }: SchedulePage, query: Flow8PageQuery): Flow8ScheduleList {
  return pageOf(schedules.map(toSchedule), total, query)
}

function toArgs(payload: Json): JsonObject {
  if (payload === null) return {}
  return typeof payload === 'object' && !Array.isArray(payload) ? payload : { input: payload }
}
