import { describe, expect, test } from 'vitest'
import { processorTime } from '../../../test/support/processor-time.js'
import { StepError } from '../../engine/step.js'
import type { Json, JsonObject } from '../../platform/json.js'
import { conditionOf } from './filters.js'
import type { FilterDefinition } from './layers.js'

function decide(...filters: FilterDefinition[]): boolean {
  const condition = conditionOf(filters, true)
  return condition?.holds(condition.params as JsonObject) ?? true
}

const filter = (
  leftValue: Json,
  operator: FilterDefinition['operator'],
  rightValue?: Json,
  cast?: FilterDefinition['cast'],
) =>
  ({ leftValue, operator, ...(rightValue !== undefined && { rightValue }), ...(cast && { cast }) }) as FilterDefinition

describe('operators', () => {
  test.each<[Json, FilterDefinition['operator'], Json, FilterDefinition['cast'] | undefined, boolean]>([
    ['a', 'eq', 'a', undefined, true],
    ['a', 'eq', 'A', undefined, false],
    [5, 'eq', '5', undefined, true],
    ['5.0', 'eq', 5, undefined, true],
    ['5.0', 'eq', '5', undefined, false],
    ['5.0', 'eq', '5', 'number', true],
    [true, 'eq', 'true', undefined, true],
    [false, 'eq', '', undefined, false],
    [null, 'eq', null, undefined, true],
    [null, 'eq', '', undefined, false],
    [null, 'eq', '', 'string', true],
    [{ a: 1, b: [2] }, 'eq', { b: [2], a: 1 }, undefined, true],
    ['yes', 'eq', true, 'boolean', true],
    ['a', 'neq', 'b', undefined, true],
    [5, 'neq', '5', undefined, false],
    [10, 'gt', 9, undefined, true],
    ['10', 'gt', '9', undefined, true],
    ['10', 'gt', '9', 'string', true],
    [120, 'gte', '120', undefined, true],
    ['2026-01-02', 'gt', '2026-01-01', undefined, true],
    [1, 'lt', 2, undefined, true],
    [2, 'lte', 2, undefined, true],
    [null, 'lt', 2, undefined, false],
    [null, 'gte', 0, undefined, false],
    ['banana', 'contains', 'nan', undefined, true],
    [['1', 2], 'contains', 1, undefined, true],
    [{ a: 1 }, 'contains', 'a', undefined, true],
    [{ a: 1 }, 'contains', 'toString', undefined, false],
    [12345, 'contains', '234', undefined, true],
    [null, 'contains', '', undefined, false],
    ['banana', 'not_contains', 'x', undefined, true],
    ['', 'is_empty', null, undefined, true],
    [[], 'is_empty', null, undefined, true],
    [{}, 'is_empty', null, undefined, true],
    [null, 'is_empty', null, undefined, true],
    [0, 'is_empty', null, undefined, false],
    [false, 'not_empty', null, undefined, true],
    ['order-17', 'regex', '^order-\\d+$', undefined, true],
    [17, 'regex', '^\\d{2}$', undefined, true],
    [null, 'regex', '^$', undefined, true],
    ['ABC', 'regex', '(?i)^abc$', undefined, true],
  ])('%j %s %j (%s) is %s', (left, operator, right, cast, expected) => {
    expect(decide(filter(left, operator, right, cast))).toBe(expected)
  })

  test.each<[Json, FilterDefinition['operator'], Json, FilterDefinition['cast'] | undefined, string]>([
    [[1], 'gt', 1, undefined, 'the filter gt compares two numbers or two texts, not a list and a number'],
    ['s3cret', 'gt', 1, undefined, 'the filter gt compares two numbers or two texts, not a text and a number'],
    ['s3cret', 'eq', 1, 'number', 'a filter reads a text as a number, and it is none'],
    ['s3cret', 'eq', true, 'boolean', 'a filter reads a text as true or false, and it is neither'],
    ['x', 'regex', '(', undefined, 'the filter regex: the pattern is not a regular expression'],
    ['x', 'regex', 5, undefined, 'the filter regex takes a pattern, a text'],
    ['x'.repeat(10_000_000), 'regex', '(a+)+b', undefined, 'the filter regex: the text is too long for this pattern'],
  ])('%.20j %s %j (%s) cannot be compared', (left, operator, right, cast, message) => {
    const work = () => decide(filter(left, operator, right, cast))
    expect(work).toThrow(StepError)
    expect(work).toThrow(message)
    expect(work).not.toThrow('s3cret')
  })
})

describe('modes join from left to right', () => {
  const [yes, no] = [filter(1, 'eq', 1), filter(1, 'eq', 2)]
  const and = (one: FilterDefinition): FilterDefinition => ({ ...one, mode: 'and' })
  const or = (one: FilterDefinition): FilterDefinition => ({ ...one, mode: 'or' })

  test.each([
    [[], true],
    [[yes], true],
    [[no], false],
    [[or(no)], false],
    [[yes, no], false],
    [[yes, and(yes)], true],
    [[no, or(yes)], true],
    [[yes, or(no), and(no)], false],
    [[no, and(no), or(yes)], true],
    [[no, or(yes), and(no), or(yes)], true],
  ])('%#', (filters, expected) => {
    expect(decide(...filters)).toBe(expected)
  })

  test('and what is decided already is not compared any more', () => {
    expect(decide(yes, or(filter([1], 'gt', 1)))).toBe(true)
    expect(decide(no, and(filter([1], 'gt', 1)))).toBe(false)
  })
})

test('a pattern that would take for ever elsewhere takes no time', () => {
  const spent = processorTime()
  expect(decide(filter(`${'a'.repeat(50_000)}b`, 'regex', '^(a+)+$'))).toBe(false)
  expect(spent()).toBeLessThan(1_000)
})
