import type { Json } from '../../../platform/json.js'
import {
  ArrayField,
  BooleanField,
  DateField,
  EnumField,
  IdField,
  IntField,
  JsonField,
  ObjectField,
  QueryIntField,
  StringField,
} from '../../../platform/openapi/fields.js'
import { pagedBy } from '../../../platform/openapi/paging.js'
import { MISSED, type Missed, OVERLAPS, type Overlap, type SkipReason } from '../due-slots.js'
import type { Schedule } from '../schedule.entity.js'
import type { PastSlot, PastSlots } from '../schedule-history.js'
import type { ComingSlot, NewSchedule, ScheduleChange, SchedulePage } from '../schedules.service.js'

const TARGETS = ['flow', 'job'] as const
const REASONS: readonly SkipReason[] = ['overlap', 'missed', 'unplaceable', 'disabled']
const STATUSES = ['queued', 'running', 'completed', 'failed', 'cancelled', 'started', 'skipped'] as const

type SlotStatus = (typeof STATUSES)[number]

const texts = {
  name: { description: 'The name people know it by.', example: 'Nightly aggregation', maxLength: 200 },
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
  input: {
    description: 'What each run is given: any JSON value; for a job its arguments, none of which may be a secret.',
    example: { report: 'daily' },
  },
  enabled: {
    description: 'False while it is paused. Slots that come during a pause are not made up for.',
    example: true,
  },
  overlap: {
    description:
      'What a slot does while a run of the schedule is under way: be skipped, start beside it, wait for its end, or cancel it.',
    example: 'skip',
    name: 'FacilFlowScheduleOverlap',
  },
  missed: {
    description:
      'What is made up for when nothing was there to start a slot: nothing, the last slot, or all (at most 100 at once; for `allow` and `queue`).',
    example: 'last',
    name: 'FacilFlowScheduleMissed',
  },
  jitterSeconds: {
    description: 'Each slot starts up to so many seconds later, always the same for the same slot.',
    example: 0,
    max: 86_400,
  },
}

/** What a schedule starts. */
export class FacilFlowScheduleTarget {
  @EnumField(TARGETS, { description: 'What kind of thing it is.', example: 'flow' })
  type: (typeof TARGETS)[number]

  @StringField({
    description: 'Its id. A job is known by the path of its folder, such as `backup/daily`.',
    example: 'flow-123',
    maxLength: 500,
  })
  id: string
}

/** A schedule to be made. */
export class FacilFlowNewSchedule {
  @StringField({
    ...texts.name,
    description: `${texts.name.description} Left out, how often it comes.`,
    optional: true,
    minLength: 1,
  })
  name?: string

  @ObjectField({ type: () => FacilFlowScheduleTarget, description: 'What it starts.' })
  target: FacilFlowScheduleTarget

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

  @JsonField({ ...texts.input, optional: true })
  input?: Json

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
export class FacilFlowScheduleChange {
  @StringField({ ...texts.name, optional: true, minLength: 1 })
  name?: string

  @ObjectField({ type: () => FacilFlowScheduleTarget, description: 'What it starts.', optional: true })
  target?: FacilFlowScheduleTarget

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

  @JsonField({ ...texts.input, optional: true })
  input?: Json

  @BooleanField({ ...texts.enabled, optional: true })
  enabled?: boolean

  @EnumField(OVERLAPS, { ...texts.overlap, optional: true })
  overlap?: Overlap

  @EnumField(MISSED, { ...texts.missed, optional: true })
  missed?: Missed

  @IntField({ ...texts.jitterSeconds, optional: true })
  jitterSeconds?: number
}

/** What starts a thing again and again, and when. */
export class FacilFlowSchedule {
  @StringField({
    description: "The schedule's id. A flow that makes one gives it an id of its own choosing.",
    example: 'schedule-123',
    maxLength: 255,
  })
  id: string

  @StringField({ ...texts.name, maxLength: 255, minLength: 0 })
  name: string

  @ObjectField({ type: () => FacilFlowScheduleTarget, description: 'What it starts.' })
  target: FacilFlowScheduleTarget

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

  @JsonField(texts.input)
  input: Json

  @BooleanField(texts.enabled)
  enabled: boolean

  @EnumField(OVERLAPS, texts.overlap)
  overlap: Overlap

  @EnumField(MISSED, texts.missed)
  missed: Missed

  @IntField(texts.jitterSeconds)
  jitterSeconds: number

  @DateField({ description: 'When it last started a run.', example: '2026-03-02T02:00:00.120Z', nullable: true })
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

/** Which schedules to list. */
export class FacilFlowSchedulesQuery extends pagedBy({ default: 1000, max: 1000 }) {}

/** Schedules. */
export class FacilFlowScheduleList {
  @ArrayField({ of: () => FacilFlowSchedule, description: 'The schedules, oldest first.' })
  schedules: FacilFlowSchedule[]

  @IntField({ description: 'How many there are in all.', example: 1 })
  total: number
}

/** Which slots of the past to list. */
export class FacilFlowScheduleHistoryQuery extends pagedBy({ default: 100, max: 1000 }) {}

/** A slot that has come, or several in a row that were left out together. */
export class FacilFlowScheduleExecution {
  @DateField({ description: 'The slot.', example: '2026-03-02T02:00:00Z' })
  scheduledAt: string

  @DateField({
    description: 'When the run was made; null where the slot started none.',
    example: '2026-03-02T02:00:00.120Z',
    nullable: true,
  })
  startedAt: string | null

  @IntField({
    description: 'How long after the slot that was, in milliseconds; jitter is part of it.',
    example: 120,
    nullable: true,
  })
  lagMs: number | null

  @IdField({ description: 'The run; null where the slot started none.', example: 'run-123', nullable: true })
  runId: string | null

  @EnumField(STATUSES, {
    description:
      'What became of it: the state of its run (`started` once the run is not kept any more), `skipped`, or `failed` where no run could be made.',
    example: 'completed',
  })
  status: SlotStatus

  @EnumField(REASONS, {
    description:
      'Why it started nothing: a run was under way, nobody was there in time, the flow could not say where its run is to stand, or it was disabled: by itself, or because its account may only look.',
    example: null,
    nullable: true,
  })
  reason: SkipReason | null

  @DateField({ description: 'When the run ended; null until then.', example: '2026-03-02T02:00:04.5Z', nullable: true })
  finishedAt: string | null

  @DateField({
    description: 'The last of the slots that were left out together; the slot itself otherwise.',
    example: '2026-03-02T02:00:00Z',
  })
  lastScheduledAt: string

  @IntField({
    description: 'How many slots were left out together; null where they were too many to count.',
    example: 1,
    nullable: true,
  })
  slots: number | null
}

/** What became of the slots of a schedule. */
export class FacilFlowScheduleHistory {
  @ArrayField({ of: () => FacilFlowScheduleExecution, description: 'The latest first.' })
  history: FacilFlowScheduleExecution[]

  @IntField({ description: 'How many there are in all.', example: 1 })
  total: number
}

/** How many slots to foresee. */
export class FacilFlowScheduleNextQuery {
  @QueryIntField({ description: 'How many.', example: 5, default: 5, optional: true, min: 1, max: 100 })
  count = 5
}

/** A slot to come. */
export class FacilFlowComingSlot {
  @DateField({ description: 'The slot.', example: '2026-03-03T02:00:00Z' })
  scheduledAt: string

  @DateField({ description: 'When its run starts: the slot, and what jitter adds.', example: '2026-03-03T02:00:00Z' })
  startsAt: string

  @DateField({
    description: "The slot as the clocks of the schedule's time zone show it.",
    example: '2026-03-03T03:00:00+01:00',
  })
  localTime: string
}

/** The slots to come. */
export class FacilFlowComingSlots {
  @ArrayField({
    of: () => FacilFlowComingSlot,
    description: 'The slots to come, the first first, as if the schedule were not paused.',
  })
  next: FacilFlowComingSlot[]

  @IntField({ description: 'How many these are.', example: 1 })
  total: number
}

export function toNewSchedule({ target, input, ...rest }: FacilFlowNewSchedule): NewSchedule {
  return { ...rest, target, payload: input }
}

export function toScheduleChange({ target, input, ...rest }: FacilFlowScheduleChange): ScheduleChange {
  return { ...rest, target, payload: input }
}

export function toSchedule(schedule: Schedule): FacilFlowSchedule {
  return {
    id: schedule.id,
    name: schedule.name,
    target: { type: schedule.targetType, id: schedule.jobId ?? schedule.flowId },
    cron: schedule.cron,
    every: schedule.every,
    timezone: schedule.timezone ?? 'UTC',
    input: (schedule.payload as Json) ?? {},
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

export function toScheduleList({ schedules, total }: SchedulePage): FacilFlowScheduleList {
  return { schedules: schedules.map(toSchedule), total }
}

export function toHistory({ items, total }: PastSlots): FacilFlowScheduleHistory {
  return { history: items.map(toExecution), total }
}

export function toComingSlots(slots: ComingSlot[]): FacilFlowComingSlots {
  const next = slots.map(({ slot, startsAt, wallTime }) => ({
    scheduledAt: slot.toISOString(),
    startsAt: startsAt.toISOString(),
    localTime: wallTime,
  }))
  return { next, total: next.length }
}

const WORDS: Readonly<Record<PastSlot['state'], SlotStatus>> = {
  queued: 'queued',
  running: 'running',
  waiting: 'running',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
  started: 'started',
  skipped: 'skipped',
  unplaced: 'failed',
}

function toExecution(past: PastSlot): FacilFlowScheduleExecution {
  const hasRun = past.runId !== undefined
  return {
    scheduledAt: past.slot.toISOString(),
    startedAt: hasRun ? past.startedAt.toISOString() : null,
    lagMs: hasRun ? past.startedAt.getTime() - past.slot.getTime() : null,
    runId: past.runId ?? null,
    status: WORDS[past.state],
    reason: past.reason ?? null,
    finishedAt: past.finishedAt?.toISOString() ?? null,
    lastScheduledAt: past.lastSlot.toISOString(),
    slots: past.slots ?? null,
  }
}
