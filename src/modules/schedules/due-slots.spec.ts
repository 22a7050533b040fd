import { describe, expect, it } from 'vitest'
import { processorTime } from '../../../test/support/processor-time.js'
import { type DueSchedule, dueTime, MOST_MADE_UP, planFor } from './due-slots.js'
import { type Slots, slotsOf } from './rhythm.js'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const NOON = new Date('2030-01-01T12:00:00Z')
const later = (ms: number) => new Date(NOON.getTime() + ms)
const minutely: Slots = slotsOf({ cron: '* * * * *', timezone: 'UTC' })
const secondly: Slots = slotsOf({ cron: '* * * * * *', timezone: 'UTC' })

/** A schedule that comes each minute, and whose slot of noon has come. */
function due(differences: Partial<DueSchedule> = {}): DueSchedule {
  return {
    key: 'account_1/schedule_1',
    slot: NOON,
    slots: minutely,
    overlap: 'allow',
    missed: 'last',
    jitterMs: 0,
    isLive: false,
    ...differences,
  }
}

describe('a slot that has come', () => {
  it('starts a run, and the next is looked at when it comes', () => {
    expect(planFor(due(), later(800))).toEqual({
      starts: [NOON],
      skipped: [],
      cancelsPrevious: false,
      next: later(MINUTE),
      dueAt: later(MINUTE),
    })
  })

  it.each(['skip', 'allow', 'queue', 'cancel_previous'] as const)(
    'and no run is under way: %s starts it',
    (overlap) => {
      expect(planFor(due({ overlap }), later(0))).toMatchObject({ starts: [NOON], skipped: [], cancelsPrevious: false })
    },
  )

  it('is the last there is', () => {
    const slots: Slots = { next: () => undefined }
    expect(planFor(due({ slots }), later(0))).toMatchObject({ starts: [NOON], next: undefined, dueAt: undefined })
  })

  it('starts although what comes next cannot be read any more', () => {
    const slots: Slots = {
      next: () => {
        throw new Error('no such zone')
      },
    }
    expect(planFor(due({ slots }), later(0))).toMatchObject({ starts: [NOON], next: undefined, dueAt: undefined })
  })
})

describe('a slot that comes while a run is under way', () => {
  it('starts one beside it', () => {
    expect(planFor(due({ overlap: 'allow', isLive: true }), later(0)).starts).toEqual([NOON])
  })

  it('is skipped', () => {
    expect(planFor(due({ overlap: 'skip', isLive: true }), later(0))).toEqual({
      starts: [],
      skipped: [{ first: NOON, last: NOON, count: 1, reason: 'overlap' }],
      cancelsPrevious: false,
      next: later(MINUTE),
      dueAt: later(MINUTE),
    })
  })

  it('cancels it', () => {
    expect(planFor(due({ overlap: 'cancel_previous', isLive: true }), later(0))).toMatchObject({
      starts: [NOON],
      cancelsPrevious: true,
    })
  })

  it('waits for its end, and is looked at again soon', () => {
    const waiting = planFor(due({ overlap: 'queue', isLive: true }), later(5 * MINUTE))
    expect(waiting).toMatchObject({ starts: [], skipped: [], next: NOON })
    expect(waiting.dueAt).toEqual(later(5 * MINUTE + 2 * SECOND))
  })

  it('is not given up for having waited', () => {
    const plan = planFor(
      due({ overlap: 'queue', missed: 'skip', slots: slotsOf({ cron: '0 * * * *', timezone: 'UTC' }) }),
      later(50 * MINUTE),
    )
    expect(plan.starts).toEqual([NOON])
  })
})

describe('slots that nobody was there for', () => {
  const now = later(5 * MINUTE + 10 * SECOND)

  it('are made up for by the last of them', () => {
    expect(planFor(due({ missed: 'last' }), now)).toEqual({
      starts: [later(5 * MINUTE)],
      skipped: [{ first: NOON, last: later(4 * MINUTE), count: 5, reason: 'missed' }],
      cancelsPrevious: false,
      next: later(6 * MINUTE),
      dueAt: later(6 * MINUTE),
    })
  })

  it('are left out, but for the one that is still on time', () => {
    expect(planFor(due({ missed: 'skip' }), now)).toMatchObject({ starts: [later(5 * MINUTE)] })
    const hourly = due({ missed: 'skip', slots: slotsOf({ cron: '0 * * * *', timezone: 'UTC' }) })
    expect(planFor(hourly, later(59 * SECOND))).toMatchObject({ starts: [NOON], skipped: [] })
    expect(planFor(hourly, later(61 * SECOND))).toMatchObject({
      starts: [],
      skipped: [{ first: NOON, last: NOON, count: 1, reason: 'missed' }],
      next: later(60 * MINUTE),
    })
  })

  it('all run beside each other', () => {
    const { starts, skipped } = planFor(due({ missed: 'all' }), now)
    expect(starts).toEqual([0, 1, 2, 3, 4, 5].map((minute) => later(minute * MINUTE)))
    expect(skipped).toEqual([])
  })

  it('run one after another where they queue', () => {
    expect(planFor(due({ missed: 'all', overlap: 'queue' }), now)).toMatchObject({
      starts: [NOON],
      skipped: [],
      next: later(MINUTE),
      dueAt: new Date(now.getTime() + 2 * SECOND),
    })
  })

  it('are one run at most where runs may not overlap', () => {
    for (const overlap of ['skip', 'cancel_previous'] as const)
      expect(planFor(due({ missed: 'all', overlap }), now)).toMatchObject({
        starts: [later(5 * MINUTE)],
        skipped: [{ first: NOON, last: later(4 * MINUTE), count: 5, reason: 'overlap' }],
      })
  })

  it('are made up for to a ceiling, the latest of them', () => {
    const { starts, skipped } = planFor(due({ missed: 'all' }), later(500 * MINUTE))
    expect(starts).toHaveLength(MOST_MADE_UP)
    expect(starts.at(-1)).toEqual(later(500 * MINUTE))
    expect(skipped).toEqual([{ first: NOON, last: later(400 * MINUTE), count: 401, reason: 'missed' }])
  })

  it('are not counted one by one where they are very many, and that takes no time', () => {
    const spent = processorTime()
    const plan = planFor(due({ missed: 'all', slots: secondly }), later(40 * 86_400 * SECOND))
    expect(plan.starts).toHaveLength(MOST_MADE_UP)
    expect(plan.starts.at(-1)).toEqual(later(40 * 86_400 * SECOND))
    expect(plan.skipped).toEqual([{ first: NOON, last: expect.any(Date), reason: 'missed' }])
    expect(plan.next).toEqual(later(40 * 86_400 * SECOND + SECOND))
    expect(spent()).toBeLessThan(1_000)
  })

  it('are found where they came in bursts long ago', () => {
    const bursts = slotsOf({ cron: '* * 12 1 1 *', timezone: 'UTC' })
    const plan = planFor(due({ missed: 'last', slots: bursts }), later(200 * 86_400 * SECOND))
    expect(plan).toMatchObject({ starts: [later(3_599 * SECOND)], next: new Date('2031-01-01T12:00:00Z') })
  })
})

describe('jitter', () => {
  const jittered = due({ jitterMs: 30 * SECOND })

  it('is the same for a slot whoever asks, differs from slot to slot, and stays below its bound', () => {
    const delays = Array.from({ length: 200 }, (_, minute) => {
      const slot = later(minute * MINUTE)
      expect(dueTime(jittered, slot)).toEqual(dueTime({ ...jittered }, slot))
      return dueTime(jittered, slot).getTime() - slot.getTime()
    })
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...delays)).toBeLessThan(30 * SECOND)
    expect(new Set(delays).size).toBeGreaterThan(150)
    const mean = delays.reduce((sum, delay) => sum + delay, 0) / delays.length
    expect(Math.abs(mean - 15 * SECOND)).toBeLessThan(3 * SECOND)
  })

  it('puts off when the next slot is looked at, not the slot', () => {
    const plan = planFor(jittered, dueTime(jittered, NOON))
    expect(plan).toMatchObject({ starts: [NOON], next: later(MINUTE), dueAt: dueTime(jittered, later(MINUTE)) })
  })
})

describe('an interval', () => {
  const slots = slotsOf({ everyMs: 90 * SECOND, countedFrom: NOON })

  it('counts elapsed time, and comes for the first time after one', () => {
    expect(slots.next(later(-MINUTE))).toEqual(later(90 * SECOND))
    expect(slots.next(NOON)).toEqual(later(90 * SECOND))
    expect(slots.next(later(90 * SECOND))).toEqual(later(180 * SECOND))
    expect(slots.next(later(180 * SECOND - 1))).toEqual(later(180 * SECOND))
  })
})
