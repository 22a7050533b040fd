import { describe, expect, it } from 'vitest'
import { formatDuration, InvalidDuration, isDuration, parseDuration } from './duration.js'

describe('parseDuration', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['250us', 0.25],
    ['250µs', 0.25],
    ['1000000ns', 1],
    ['1h0m0.5s', 3_600_500],
    ['.5s', 500],
    ['0', 0],
    ['0s', 0],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBeCloseTo(ms, 9)
  })

  it.each(['', ' ', '5', '1d', 's', '-5s', '+5s', '5 s', '5s ', '1h30', '1e3s', '.s', 'PT5S', '٣s'])(
    'refuses %j and says what to write',
    (text) => {
      expect(() => parseDuration(text)).toThrow(InvalidDuration)
      expect(() => parseDuration(text)).toThrow(/is not a duration: write a number and a unit/)
      expect(isDuration(text)).toBe(false)
    },
  )

  it('refuses more than Go can hold, and stays quick on long rubbish', () => {
    expect(isDuration('2562047h')).toBe(true)
    expect(isDuration('2562048h')).toBe(false)
    expect(isDuration(`${'9'.repeat(400)}h`)).toBe(false)
    expect(isDuration(`${'1'.repeat(1_000_000)}`)).toBe(false)
  })
})

describe('formatDuration', () => {
  it.each([
    [12.3456, '12.346ms'],
    [0, '0ms'],
    [1500, '1.5s'],
    [62_000, '1m2s'],
    [3_600_000, '1h0m0s'],
  ])('writes %d ms as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text)
  })
})
