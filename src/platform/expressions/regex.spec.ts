import { describe, expect, test } from 'vitest'
import { processorTime } from '../../../test/support/processor-time.js'
import { linearRegex, UnusableRegex } from './regex.js'
import { sizeOfPattern } from './regex-size.js'

test('what patterns are asked for', () => {
  const regex = linearRegex('(\\w+)@(?P<host>\\w+)')
  expect(regex.test('to me@here')).toBe(true)
  expect(regex.find('to me@here')).toBe('me@here')
  expect(regex.find('nobody')).toBeUndefined()
  expect(regex.findAll('a@b, c@d')).toEqual(['a@b', 'c@d'])
  expect(regex.replaceAll('a@b', '$1 at ${host}')).toBe('a at b')
  expect(linearRegex(',\\s*').split('a, b,c')).toEqual(['a', 'b', 'c'])
})

describe('what would cost too much is refused before it begins', () => {
  test.each(['(?=x)', '(a)\\1', '(', 'a{1001}', 'x'.repeat(1_001)])('the pattern %.20s', (pattern) => {
    expect(() => linearRegex(pattern)).toThrow(UnusableRegex)
  })

  test.each([
    'a{1000}'.repeat(140),
    `(?:${'a'.repeat(900)}){1000}`,
    `${'(?:'.repeat(9)}${'a'.repeat(900)}${'){2}'.repeat(9)}`,
    `\\Q[\\E(?:${'a'.repeat(900)}){1000}]`,
    `[]a](?:${'a'.repeat(900)}){1000}`,
    `(?:a|${'b'.repeat(900)}){0,999}`,
  ])('the pattern %.20s, whose compiling takes long', (pattern) => {
    const spent = processorTime()
    expect(() => linearRegex(pattern)).toThrow('the pattern repeats too much')
    expect(spent()).toBeLessThan(100)
  })

  test('what repeats itself is known in its size before it is compiled', () => {
    const patterns = [
      'abc',
      'a{3}',
      '(?:ab){10}',
      '((a{2}){3}){4}',
      '[a-z]{5}x*',
      '\\d{1,3}(\\.\\d{1,3}){3}',
      'a|b|c',
      '(?i)\\pL{20}',
      '\\Qa{9}\\E',
      'x{2,}',
    ]
    for (const pattern of patterns)
      expect(sizeOfPattern(pattern) * 2 + 4).toBeGreaterThanOrEqual(linearRegex(pattern).size)
  })

  test('a large pattern on a long text', () => {
    const regex = linearRegex('(.*)(.*)x{900}')
    expect(() => regex.test('x'.repeat(1_000_000))).toThrow('the text is too long for this pattern')
  })
})

test('what takes exponential time elsewhere takes linear time', () => {
  const spent = processorTime()
  for (const pattern of ['^(a+)+$', '^(a|a)*$', '^(a*)*b', '(.*a){12}b', '^(([a-z])+.)+[A-Z]([a-z])+$']) {
    linearRegex(pattern).test(`${'a'.repeat(20_000)}!`)
  }
  expect(spent()).toBeLessThan(5_000)
})
