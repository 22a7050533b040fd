import { Cron } from 'croner'
import { describe, expect, it } from 'vitest'
import { processorTime } from '../../../test/support/processor-time.js'
import { CronExpression, isCron } from './cron-expression.js'
import { InvalidCron } from './cron-fields.js'
import { TimeZone } from './time-zone.js'

/** The slots after a moment, as the zone's clocks show them. */
function slots(cron: string, zone: string, after: string, count: number): string[] {
  const expression = new CronExpression(cron)
  const place = TimeZone.of(zone)
  const found: string[] = []
  for (let at = new Date(after); found.length < count; ) {
    const next = expression.next(at, place)
    if (!next) break
    expect(next > at).toBe(true)
    found.push(place.wallText(next).replace(/:00(?=[+-])/, ''))
    at = next
  }
  return found
}

/** The same in UTC, without what is the same everywhere. */
function days(cron: string, after: string, count: number): string[] {
  return slots(cron, 'UTC', after, count).map((slot) => slot.slice(0, 10))
}

describe('the fields', () => {
  it.each([
    ['*/15 * * * *', ['00:15', '00:30', '00:45', '01:00']],
    ['5/20 * * * *', ['00:05', '00:25', '00:45', '01:05']],
    ['10-40/15 3 * * *', ['03:10', '03:25', '03:40', '03:10']],
    ['0 22-2 * * *', ['01:00', '02:00', '22:00', '23:00']],
    ['0 22-2/2 * * *', ['02:00', '22:00', '00:00', '02:00']],
    ['50-10/10 5 * * *', ['05:00', '05:10', '05:50', '05:00']],
    ['3,5-11/3,12 0 * * *', ['00:03', '00:05', '00:08', '00:11']],
    ['@hourly', ['01:00', '02:00', '03:00', '04:00']],
    ['@Daily', ['00:00', '00:00', '00:00', '00:00']],
  ])('of %s name these times', (cron, expected) => {
    expect(slots(cron, 'UTC', '2030-01-01T00:00:00Z', 4).map((slot) => slot.slice(11, 16))).toEqual(expected)
  })

  it('may begin with seconds', () => {
    expect(slots('*/30 0 12 * * *', 'UTC', '2030-01-01T00:00:00Z', 3)).toEqual([
      '2030-01-01T12:00+00:00',
      '2030-01-01T12:00:30+00:00',
      '2030-01-02T12:00+00:00',
    ])
  })

  it.each([
    // Tuesday is 1 January 2030.
    ['0 0 * * FRI-MON', ['2030-01-04', '2030-01-05', '2030-01-06', '2030-01-07', '2030-01-11']],
    ['0 0 * * 5-7', ['2030-01-04', '2030-01-05', '2030-01-06', '2030-01-11', '2030-01-12']],
    ['0 0 * * 7-2', ['2030-01-06', '2030-01-07', '2030-01-08', '2030-01-13', '2030-01-14']],
    ['0 0 * * 7', ['2030-01-06', '2030-01-13', '2030-01-20', '2030-01-27', '2030-02-03']],
    ['0 0 * * sun', ['2030-01-06', '2030-01-13', '2030-01-20', '2030-01-27', '2030-02-03']],
    ['0 0 1 NOV-FEB *', ['2030-02-01', '2030-11-01', '2030-12-01', '2031-01-01', '2031-02-01']],
    ['0 0 30-2 * ?', ['2030-01-02', '2030-01-30', '2030-01-31', '2030-02-01', '2030-02-02']],
    ['@monthly', ['2030-02-01', '2030-03-01', '2030-04-01', '2030-05-01', '2030-06-01']],
    ['@weekly', ['2030-01-06', '2030-01-13', '2030-01-20', '2030-01-27', '2030-02-03']],
    ['@yearly', ['2031-01-01', '2032-01-01', '2033-01-01', '2034-01-01', '2035-01-01']],
  ])('of %s name these days', (cron, expected) => {
    expect(days(cron, '2030-01-01T12:00:00Z', 5)).toEqual(expected)
  })

  it.each([
    ['0 0 L * *', ['2030-01-31', '2030-02-28', '2030-03-31']],
    ['0 0 L-1 * *', ['2030-01-30', '2030-02-27', '2030-03-30']],
    ['0 0 L-30 * *', ['2030-03-01', '2030-05-01', '2030-07-01']],
    // 31 March 2030 is a Sunday, 30 June as well, 31 August a Saturday.
    ['0 0 LW * *', ['2030-01-31', '2030-02-28', '2030-03-29']],
    ['0 0 31W * *', ['2030-01-31', '2030-03-29', '2030-05-31']],
    ['0 0 31W 8 *', ['2030-08-30', '2031-08-29', '2032-08-31']],
    // 1 June 2030 is a Saturday, 1 September a Sunday.
    ['0 0 1W 6,9 *', ['2030-06-03', '2030-09-02', '2031-06-02']],
    // 15 June 2030 is a Saturday, 15 September a Sunday.
    ['0 0 15W 6,9 *', ['2030-06-14', '2030-09-16', '2031-06-16']],
    ['0 0 1W,15W 6 *', ['2030-06-03', '2030-06-14', '2031-06-02']],
    ['0 0 * * 6#2', ['2030-01-12', '2030-02-09', '2030-03-09']],
    ['0 0 * * MON#5', ['2030-04-29', '2030-07-29', '2030-09-30']],
    ['0 0 ? 1 MON#1', ['2030-01-07', '2031-01-06', '2032-01-05']],
    ['0 0 * * 5L', ['2030-01-25', '2030-02-22', '2030-03-29']],
    ['0 0 * * FRI#L', ['2030-01-25', '2030-02-22', '2030-03-29']],
    ['0 0 * * friL', ['2030-01-25', '2030-02-22', '2030-03-29']],
    ['0 0 * * MON#1,FRI#L', ['2030-01-07', '2030-01-25', '2030-02-04']],
  ])('of %s name days counted in their month', (cron, expected) => {
    expect(days(cron, '2030-01-01T12:00:00Z', 3)).toEqual(expected)
  })

  it.each([
    ['0 0 13 * FRI', ['2030-01-04', '2030-01-11', '2030-01-13', '2030-01-18']],
    ['0 0 13 * +FRI', ['2030-09-13', '2030-12-13', '2031-06-13', '2032-02-13']],
    ['0 0 13 * +*', ['2030-01-13', '2030-02-13', '2030-03-13', '2030-04-13']],
    ['0 0 1-7 * +MON', ['2030-01-07', '2030-02-04', '2030-03-04', '2030-04-01']],
  ])('for the day of the month and of the week: one of them, or both with a plus (%s)', (cron, expected) => {
    expect(days(cron, '2030-01-01T12:00:00Z', 4)).toEqual(expected)
  })

  it.each([
    ['', 'must have 5 fields'],
    ['* * * *', 'must have 5 fields'],
    ['* * * * * * *', 'must have 5 fields'],
    ['@reboot', 'must have 5 fields'],
    ['@every 5m', 'must have 5 fields'],
    ['60 * * * *', "'60' in the field of the minute is not from 0 to 59"],
    ['* 24 * * *', "'24' in the field of the hour"],
    ['* * 0 * *', "'0' in the field of the day of month"],
    ['* * 32 * *', "'32' in the field of the day of month"],
    ['* * * 13 *', "'13' in the field of the month"],
    ['* * * * 8', "'8' in the field of the day of week"],
    ['* * * JANUARY *', "'JANUARY' in the field of the month"],
    ['* * * * MON#6', 'day of week'],
    ['* * * * L', 'day of week'],
    ['* * 1-15W * *', 'day of month'],
    ['* * L-31 * *', 'goes back further than any month'],
    ['? * * * *', 'minute'],
    ['*/0 * * * *', 'has a step of 0'],
    ['1-2-3 * * * *', 'cannot be read'],
    ['5, * * * *', 'minute'],
    ['-5 * * * *', 'minute'],
    ['1.5 * * * *', 'minute'],
    ['٣ * * * *', 'minute'],
    ['__proto__ * * * *', 'minute'],
  ])('refuse %j', (cron, reason) => {
    expect(() => new CronExpression(cron)).toThrow(InvalidCron)
    expect(() => new CronExpression(cron)).toThrow(reason)
    expect(isCron(cron)).toBe(false)
  })

  it('say at once what is very long and wrong', () => {
    const spent = processorTime()
    for (const text of [`${'1,'.repeat(100_000)}x * * * *`, `${'*'.repeat(100_000)} * * * *`, ' '.repeat(100_000)])
      expect(isCron(text)).toBe(false)
    expect(spent()).toBeLessThan(1_000)
  })
})

describe('the calendar', () => {
  it('has leap days every four years, but not in 2100', () => {
    expect(days('0 0 29 2 *', '2026-01-01T00:00:00Z', 3)).toEqual(['2028-02-29', '2032-02-29', '2036-02-29'])
    expect(days('0 0 29 2 *', '2096-03-01T00:00:00Z', 2)).toEqual(['2104-02-29', '2108-02-29'])
    expect(days('0 0 29 2 +SUN', '2030-01-01T00:00:00Z', 2)).toEqual(['2032-02-29', '2060-02-29'])
  })

  it('goes on behind 2038 and 2106', () => {
    expect(slots('0 0 19 1 *', 'Europe/Berlin', '2037-12-31T00:00:00Z', 2)).toEqual([
      '2038-01-19T00:00+01:00',
      '2039-01-19T00:00+01:00',
    ])
    expect(slots('30 2 * 3 SUN#L', 'Europe/Berlin', '2150-01-01T00:00:00Z', 1)).toEqual(['2150-03-29T03:00+02:00'])
  })

  it.each(['0 0 31 2 *', '0 0 30 2 *', '0 0 31 4,6,9,11 *', '0 0 8 * +MON#1', '0 0 31W 2 *', '0 0 L-29 2 *'])(
    'never has %s',
    (cron) => {
      expect(new CronExpression(cron).next(new Date('2030-01-01T00:00:00Z'), TimeZone.of('UTC'))).toBeUndefined()
    },
  )
})

describe('clocks that jump forward', () => {
  it.each([
    ['30 2 * * *', ['2030-03-31T03:00+02:00', '2030-04-01T02:30+02:00']],
    ['0 3 * * *', ['2030-03-31T03:00+02:00', '2030-04-01T03:00+02:00']],
    ['0,20,40 2 * * *', ['2030-03-31T03:00+02:00', '2030-04-01T02:00+02:00']],
    ['30 2,3 * * *', ['2030-03-31T03:00+02:00', '2030-03-31T03:30+02:00']],
    ['*/30 * * * *', ['2030-03-31T03:00+02:00', '2030-03-31T03:30+02:00']],
    ['30 * * * *', ['2030-03-31T03:00+02:00', '2030-03-31T03:30+02:00']],
    ['0 */2 * * *', ['2030-03-31T03:00+02:00', '2030-03-31T04:00+02:00']],
    ['59 59 1 * * *', ['2030-04-01T01:59:59+02:00', '2030-04-02T01:59:59+02:00']],
  ])('in Berlin bring %s once, right after', (cron, expected) => {
    expect(slots(cron, 'Europe/Berlin', '2030-03-31T00:59:59Z', 2)).toEqual(expected)
  })

  it('bring what falls into half an hour on Lord Howe', () => {
    expect(slots('15 2 * * *', 'Australia/Lord_Howe', '2030-10-05T12:00:00Z', 2)).toEqual([
      '2030-10-06T02:30+11:00',
      '2030-10-07T02:15+11:00',
    ])
    expect(slots('45 2 * * *', 'Australia/Lord_Howe', '2030-10-05T12:00:00Z', 1)).toEqual(['2030-10-06T02:45+11:00'])
  })

  it('bring midnight where a day begins at one', () => {
    expect(slots('0 0 * * *', 'Africa/Cairo', '2026-04-23T12:00:00Z', 2)).toEqual([
      '2026-04-24T01:00+03:00',
      '2026-04-25T00:00+03:00',
    ])
  })

  it('bring noon of the day that Apia left out', () => {
    expect(slots('0 12 * * *', 'Pacific/Apia', '2011-12-29T23:00:00Z', 3)).toEqual([
      '2011-12-31T00:00+14:00',
      '2011-12-31T12:00+14:00',
      '2012-01-01T12:00+14:00',
    ])
  })

  it('are met from far away as well', () => {
    expect(slots('30 2 8-14 3 +SUN', 'America/New_York', '2026-04-01T00:00:00Z', 2)).toEqual([
      '2027-03-14T03:00-04:00',
      '2028-03-12T03:00-04:00',
    ])
  })
})

describe('clocks that go back', () => {
  it.each([
    ['30 2 * * *', ['2030-10-27T02:30+02:00', '2030-10-28T02:30+01:00']],
    ['0 3 * * *', ['2030-10-27T03:00+01:00', '2030-10-28T03:00+01:00']],
    ['*/30 2 * * *', ['2030-10-27T02:00+02:00', '2030-10-27T02:30+02:00', '2030-10-28T02:00+01:00']],
    ['0 */2 * * *', ['2030-10-27T02:00+02:00', '2030-10-27T04:00+01:00']],
    ['0 0 2,3 * * *', ['2030-10-27T02:00+02:00', '2030-10-27T03:00+01:00', '2030-10-28T02:00+01:00']],
  ])('in Berlin bring %s once, the first time', (cron, expected) => {
    expect(slots(cron, 'Europe/Berlin', '2030-10-26T23:59:59Z', expected.length)).toEqual(expected)
  })

  it('do not hold up what runs in every hour', () => {
    expect(slots('*/30 * * * *', 'Europe/Berlin', '2030-10-26T23:59:59Z', 6)).toEqual([
      '2030-10-27T02:00+02:00',
      '2030-10-27T02:30+02:00',
      '2030-10-27T02:00+01:00',
      '2030-10-27T02:30+01:00',
      '2030-10-27T03:00+01:00',
      '2030-10-27T03:30+01:00',
    ])
    expect(slots('30 * * * *', 'America/New_York', '2016-11-06T04:59:59Z', 3)).toEqual([
      '2016-11-06T01:30-04:00',
      '2016-11-06T01:30-05:00',
      '2016-11-06T02:30-05:00',
    ])
  })

  it('bring nothing again to who asks in the repeated hour', () => {
    expect(slots('30 1 * * *', 'America/New_York', '2016-11-06T06:10:00Z', 1)).toEqual(['2016-11-07T01:30-05:00'])
    expect(slots('0 2 * * *', 'America/New_York', '2016-11-06T06:10:00Z', 1)).toEqual(['2016-11-06T02:00-05:00'])
  })

  it('repeat half an hour on Lord Howe', () => {
    expect(slots('45 1 * * *', 'Australia/Lord_Howe', '2030-04-06T12:00:00Z', 2)).toEqual([
      '2030-04-07T01:45+11:00',
      '2030-04-08T01:45+10:30',
    ])
    expect(slots('45 * * * *', 'Australia/Lord_Howe', '2030-04-06T14:00:00Z', 3)).toEqual([
      '2030-04-07T01:45+11:00',
      '2030-04-07T01:45+10:30',
      '2030-04-07T02:45+10:30',
    ])
  })

  it('repeat the last hour of a day', () => {
    expect(slots('30 23 * * *', 'Africa/Cairo', '2026-10-29T12:00:00Z', 2)).toEqual([
      '2026-10-29T23:30+03:00',
      '2026-10-30T23:30+02:00',
    ])
  })
})

describe('against an implementation of others', () => {
  const random = numbers(20_300_101)
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T
  const upTo = (from: number, to: number) => from + Math.floor(random() * (to - from + 1))
  const field = (min: number, max: number) =>
    pick([
      () => '*',
      () => `${upTo(min, max)}`,
      () => `*/${upTo(1, 6)}`,
      () => [upTo(min, max), upTo(min, max)].join(','),
      () => {
        const [from, to] = [upTo(min, max), upTo(min, max)].sort((one, other) => one - other)
        return `${from}-${to}/${upTo(1, 5)}`
      },
    ])()

  it('where no clock changes, 2,000 random expressions have the same slots', () => {
    const zone = TimeZone.of('UTC')
    for (let round = 0; round < 2_000; round++) {
      const dates = pick([field(1, 31), 'L', `${upTo(1, 28)}W`, '*'])
      const weekdays = pick([field(0, 6), `${upTo(0, 6)}#${upTo(1, 5)}`, `${upTo(0, 6)}#L`, '*'])
      const cron = [field(0, 59), field(0, 59), field(0, 23), dates, field(1, 12), weekdays].join(' ')
      const start = new Date(Date.UTC(2020, 0, 1) + Math.floor(random() * 40 * 365 * 86_400_000))
      const expected = new Cron(cron, { paused: true, timezone: 'UTC' }).nextRuns(3, start)
      let at: Date | undefined = start
      const found: Date[] = []
      for (let slot = 0; slot < 3 && at; slot++) {
        at = new CronExpression(cron).next(at, zone)
        if (at) found.push(at)
      }
      expect([cron, start, ...found]).toEqual([cron, start, ...expected])
    }
  })

  it('every minute of a day on which clocks change is either a slot or none, as the wall says', () => {
    const days = [
      ['Europe/Berlin', '2030-03-30T22:00:00Z'],
      ['Europe/Berlin', '2030-10-26T22:00:00Z'],
      ['America/New_York', '2030-03-10T04:00:00Z'],
      ['America/New_York', '2030-11-03T04:00:00Z'],
      ['Australia/Lord_Howe', '2030-04-06T12:00:00Z'],
      ['Australia/Lord_Howe', '2030-10-05T12:00:00Z'],
      ['Africa/Casablanca', '2030-01-05T22:00:00Z'],
      ['Pacific/Apia', '2011-12-29T12:00:00Z'],
    ] as const
    for (let round = 0; round < 24; round++) {
      const [name, start] = pick(days)
      const [minutes, hours] = [field(0, 59), field(0, 23)]
      const zone = TimeZone.of(name)
      const expression = new CronExpression(`${minutes} ${hours} * * *`)
      const from = Date.parse(start)
      const until = from + 30 * 3_600_000
      const found: number[] = []
      for (let at = expression.next(new Date(from), zone); at && at.getTime() <= until; at = expression.next(at, zone))
        found.push(at.getTime())
      expect([name, minutes, hours, ...found]).toEqual([
        name,
        minutes,
        hours,
        ...byTheWall(`${minutes} ${hours} * * *`, zone, from, until),
      ])
    }
  })
})

/** The rule said in another way: minute by minute, by what the wall shows, what it has shown before, and what it has left out. */
function byTheWall(cron: string, zone: TimeZone, from: number, until: number): number[] {
  const utc = TimeZone.of('UTC')
  const onTheWall = new CronExpression(cron)
  const wholeHours = new CronExpression(`0 ${cron.split(' ')[1]} * * *`)
  const fits = (wall: number) => onTheWall.next(new Date(wall - 1000), utc)?.getTime() === wall
  const isHourly = Array.from({ length: 24 }, (_, hour) => hour * 3_600_000).every(
    (hour) => wholeHours.next(new Date(hour - 1000), utc)?.getTime() === hour,
  )
  const shown = new Set<number>()
  const found: number[] = []
  let last = from - 6 * 3_600_000 + zone.offsetAt(from - 6 * 3_600_000)
  for (let at = from - 6 * 3_600_000 + 60_000; at <= until; at += 60_000) {
    const wall = at + zone.offsetAt(at)
    const leftOut: number[] = []
    for (let gone = last + 60_000; gone < wall; gone += 60_000) leftOut.push(gone)
    const isRepeated = shown.has(wall)
    const isSlot = (fits(wall) && (isHourly || !isRepeated)) || leftOut.some(fits)
    if (isSlot && at > from) found.push(at)
    shown.add(wall)
    last = wall
  }
  return found
}

/** Random numbers that are the same every time (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
