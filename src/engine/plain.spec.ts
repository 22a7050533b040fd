import { describe, expect, it } from 'vitest'
import { messageOf, plainJson, shortened } from './plain.js'
import { StepError } from './step.js'

describe('plainJson', () => {
  it('returns what is plain already as it is', () => {
    const value = { a: [1, 'two', { three: null }], b: true }
    expect(plainJson(value)).toBe(value)
  })

  it.each([
    [undefined, null],
    [{ a: undefined, b: 1 }, { b: 1 }],
    [
      [undefined, Number.NaN],
      [null, null],
    ],
    [new Date('2030-01-01'), '2030-01-01T00:00:00.000Z'],
    [{ at: new Date('2030-01-01') }, { at: '2030-01-01T00:00:00.000Z' }],
    [12n, 12],
    [2n ** 60n, '1152921504606846976'],
    [() => 1, null],
    [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
    ['a\0b', 'a\uFFFDb'],
    [{ 'k\0': '\uD800' }, { 'k\uFFFD': '\uFFFD' }],
  ])('turns what a step made into what the journal would give back (%#)', (value, plain) => {
    const result = plainJson(value)
    expect(result).toStrictEqual(plain)
    expect(JSON.parse(JSON.stringify(result))).toStrictEqual(result)
  })

  it('keeps a member named __proto__ a member', () => {
    const value = JSON.parse('{"__proto__": {"at": "x\\u0000"}}')
    expect(Object.entries(plainJson(value) as object)).toEqual([['__proto__', { at: 'x\uFFFD' }]])
  })

  it('refuses what refers to itself or is bottomless', () => {
    const loop: { self?: unknown } = {}
    loop.self = loop
    expect(() => plainJson(loop)).toThrow(StepError)
    expect(() => plainJson(JSON.parse('['.repeat(50_000) + ']'.repeat(50_000)))).toThrow('nested too deeply')
  })
})

describe('messages', () => {
  it.each([
    [new Error('words'), 'words'],
    [new TypeError(), 'TypeError'],
    ['thrown text', 'thrown text'],
    [{ code: 1 }, '{"code":1}'],
    [undefined, 'the step failed'],
    [Object.create(null), '{}'],
    [1n, 'the step failed'],
  ])('are found in whatever was thrown', (thrown, message) => {
    expect(messageOf(thrown)).toBe(message)
  })

  it('are cut when they are long', () => {
    expect(shortened('x'.repeat(1_000_000)).length).toBeLessThan(5_000)
  })
})
