import { createHash } from 'node:crypto'
import type { Slots } from './rhythm.js'

/** What becomes of a slot that comes while a run of the schedule is still under way. */
export const OVERLAPS = ['skip', 'allow', 'queue', 'cancel_previous'] as const
export type Overlap = (typeof OVERLAPS)[number]

/** What becomes of slots that came while nobody looked: none of them runs, the last one does, or all do. */
export const MISSED = ['skip', 'last', 'all'] as const
export type Missed = (typeof MISSED)[number]

/**
 * Why a slot started nothing. `unplaceable`: its flow could not say where the run is to stand; `disabled`: it is switched off, or its
 * account may only look.
 */
export type SkipReason = 'overlap' | 'missed' | 'unplaceable' | 'disabled'

/** A schedule whose time has come. */
export interface DueSchedule {
  /** Its own among all schedules. */
  key: string
  /** The slot that has come. */
  slot: Date
  slots: Slots
  overlap: Overlap
  missed: Missed
  jitterMs: number
  /** Whether a run that it started is under way. */
  isLive: boolean
}

/** Slots, one or more in a row, that start nothing. */
export interface SkippedSlots {
  first: Date
  last: Date
  /** Absent where there were too many to count. */
  count?: number
  reason: SkipReason
}

/** What is done about a schedule whose time has come. */
export interface Plan {
  /** Slots that start a run each, the earliest first. */
  starts: Date[]
  skipped: SkippedSlots[]
  cancelsPrevious: boolean
  /** The slot that comes next, and when to look at it; absent where none does. */
  next?: Date
  dueAt?: Date
}

/** Runs that `all` makes up for at once; what is older is left out. */
export const MOST_MADE_UP = 100
/** Slots that are counted one by one. */
const MOST_COUNTED = 1_000
/** A slot that is looked at later than this was missed. */
const ON_TIME_MS = 60_000
/** How often a queued slot asks whether the run before it has ended. */
const QUEUE_LOOK_MS = 2_000
/** Where slots are too many to count, the latest are looked for in so much time, and then in four times as much. */
const FIRST_LOOK_BACK_MS = 60_000

/**
 * What is done about a schedule whose time has come.
 *
 * Of the slots that are due, the last is the present one; those before it were missed, and so was the last where it is more than a
 * minute late. `missed` says which of them still count. Then `overlap` says what becomes of those that do: with `skip` and
 * `cancel_previous` one of them runs at most; with `queue` they run one after another, and a slot waits for the run before it however
 * long that takes, so that it never counts as missed itself.
 */
export function planFor(schedule: DueSchedule, now: Date): Plan {
  const { overlap, isLive, slot } = schedule
  if (overlap === 'queue' && isLive) {
    const dueAt = new Date(now.getTime() + QUEUE_LOOK_MS)
    return { starts: [], skipped: [], cancelsPrevious: false, next: slot, dueAt }
  }
  const { due, next } = dueSlots(schedule, now)
  const counting = stillCounting(schedule, due, now)
  const starts = startsOf(schedule, counting)
  const waiting = overlap === 'queue' ? counting.slice(1) : []
  const overlapped = counting.filter((at) => !starts.includes(at) && !waiting.includes(at))
  const missed = due.slice(0, due.length - counting.length)
  const hasOlder = (due[0] as Date) > slot
  const skipped = [
    ...together(hasOlder ? [slot, ...missed] : missed, 'missed', hasOlder),
    ...together(overlapped, 'overlap'),
  ]
  const cancelsPrevious = overlap === 'cancel_previous' && isLive && starts.length > 0
  const [waitsNext] = waiting
  if (waitsNext) {
    const dueAt = new Date(now.getTime() + QUEUE_LOOK_MS)
    return { starts, skipped, cancelsPrevious, next: waitsNext, dueAt }
  }
  return { starts, skipped, cancelsPrevious, next, dueAt: next && dueTime(schedule, next) }
}

/** When a slot starts its run: jitter is its own for each slot, and the same whoever asks. */
export function dueTime({ key, jitterMs }: Pick<DueSchedule, 'key' | 'jitterMs'>, slot: Date): Date {
  if (jitterMs === 0) return slot
  const hash = createHash('sha256').update(`${key} ${slot.getTime()}`).digest().readUInt32BE(0)
  return new Date(slot.getTime() + Math.floor((hash / 2 ** 32) * jitterMs))
}

/** The slots that are due: all of them, or, where they are too many, the latest. And the first that is not. */
function dueSlots(schedule: DueSchedule, now: Date): { due: Date[]; next?: Date } {
  const { slot } = schedule
  const all = dueFrom(schedule, slot, now, MOST_COUNTED)
  if (all) return all
  for (let back = FIRST_LOOK_BACK_MS; ; back *= 4) {
    const from = new Date(now.getTime() - schedule.jitterMs - back)
    const first = nextOf(schedule.slots, from > slot ? from : slot)
    const latest = first && first <= now ? dueFrom(schedule, first, now) : undefined
    if (latest && (latest.due.length >= MOST_MADE_UP || from <= slot))
      return { due: latest.due.slice(-MOST_MADE_UP), next: latest.next }
  }
}

/** The slots from one on that are due; undefined where they are more than `most`. */
function dueFrom(
  schedule: DueSchedule,
  first: Date,
  now: Date,
  most = Number.POSITIVE_INFINITY,
): { due: Date[]; next?: Date } | undefined {
  const due = [first]
  for (;;) {
    const next = nextOf(schedule.slots, due.at(-1) as Date)
    if (!next || dueTime(schedule, next) > now) return { due, next }
    if (due.push(next) > most) return undefined
  }
}

/** A schedule that cannot be read any more (a time zone that has gone) ends with the slot that has come. */
function nextOf(slots: Slots, after: Date): Date | undefined {
  try {
    return slots.next(after)
  } catch {
    return undefined
  }
}

/** Those of the due slots that are not given up as missed. */
function stillCounting(schedule: DueSchedule, due: Date[], now: Date): Date[] {
  const { missed, overlap } = schedule
  if (missed === 'all') return due.slice(-MOST_MADE_UP)
  const isLate = now.getTime() - dueTime(schedule, due.at(-1) as Date).getTime() > ON_TIME_MS
  return missed === 'skip' && isLate && overlap !== 'queue' ? [] : due.slice(-1)
}

function startsOf({ overlap, isLive }: DueSchedule, counting: Date[]): Date[] {
  switch (overlap) {
    case 'allow':
      return counting
    case 'queue':
      return counting.slice(0, 1)
    case 'skip':
      return isLive ? [] : counting.slice(-1)
    case 'cancel_previous':
      return counting.slice(-1)
  }
}

function together(slots: Date[], reason: SkipReason, isUncounted = false): SkippedSlots[] {
  const [first] = slots
  if (!first) return []
  return [{ first, last: slots.at(-1) as Date, reason, ...(!isUncounted && { count: slots.length }) }]
}
