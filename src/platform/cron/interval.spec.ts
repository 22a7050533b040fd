import { expect, it } from 'vitest'
import { parseInterval } from './interval.js'

it.each([
  ['15m', 900_000],
  ['1h30m', 5_400_000],
  ['90s', 90_000],
  ['2d', 172_800_000],
  ['PT15M', 900_000],
  ['pt90s', 90_000],
  ['P1DT12H', 129_600_000],
  ['P2W', 1_209_600_000],
  ['366d', 31_622_400_000],
])('%s is an interval', (text, ms) => {
  expect(parseInterval(text)).toBe(ms)
})

it.each(['', 'often', 'P', 'PT', 'P1M', 'P1Y', 'P1DT', '15', '-15m', 'PT1.5H', '15 m'])('%j is none', (text) => {
  expect(() => parseInterval(text)).toThrow('it must be an interval such as 15m')
})

it.each(['0', '0s', 'PT0S', '999ms', '367d', 'P53W', '999999999d'])('%s is too short or too long', (text) => {
  expect(() => parseInterval(text)).toThrow('from one second to 366 days')
})
