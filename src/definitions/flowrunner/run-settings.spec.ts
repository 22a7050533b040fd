import { describe, expect, it } from 'vitest'
import type { RunSettings } from '../../engine/run-settings.js'
import type { Json } from '../../platform/json.js'
import { fakeStepTypes } from '../step-types.fake.js'
import { compile } from './index.js'

/** A flow whose `x-run` stands in line 1, its value from column 8 on. */
const flow = (run: string) => `x-run: ${run}\nmetadata: {name: test}\nnodes: {a: {type: condition}}\n`

function settingsOf(run: string): RunSettings | undefined {
  const compilation = compile(flow(run), fakeStepTypes)
  if (!compilation.ok) throw new Error(JSON.stringify(compilation.faults))
  return compilation.graph.settings
}

function told(run: string): string[] {
  const compilation = compile(flow(run), fakeStepTypes)
  const faults = compilation.ok ? [] : compilation.faults
  return faults.map(({ line, column, path, code, detail }) => `${line}:${column} ${path} ${code} ${detail}`)
}

describe('what a flow asks for its runs', () => {
  it('is nothing unless it says so', () => {
    expect(settingsOf('')).toBeUndefined()
    expect(settingsOf('{}')).toEqual({})
  })

  it('is a priority and a tag', () => {
    expect(settingsOf('{priority: -100, tag: gpu-2_a}')).toEqual({ priority: -100, tag: 'gpu-2_a' })
    expect(settingsOf('{priority: 100}')).toEqual({ priority: 100 })
  })

  it.each<[string, Json, string]>([
    ['${input.customer.id}', { customer: { id: 'c-1' } }, 'c-1'],
    ['order ${input.order_id} of ${input["the shop"]}', { order_id: 7, 'the shop': true }, 'order 7 of true'],
    ['${input.items[0].id}', { items: [{ id: 'first' }] }, 'first'],
    ['${input.filter}', { filter: { a: [1] } }, '{"a":[1]}'],
    ['${ input?.customer?.id }', { customer: null }, ''],
    ['${input.customer.id}', { customer: null }, ''],
    ['${input.customer.id}', {}, ''],
    ['${input.id}', 'no object', ''],
    ['${input.__proto__}', {}, ''],
    ['${input.id}', { id: 'a\0b' }, 'a\uFFFDb'],
    ['one for all', { id: 1 }, 'one for all'],
  ])('is how many runs with the same key go on at once: %s with %j is %j', (key, input, value) => {
    const { concurrency } = settingsOf(`{concurrency: {key: '${key}', limit: 3}}`) ?? {}
    expect(concurrency?.limit).toBe(3)
    expect(concurrency?.key(input)).toBe(value)
  })

  it('has one key for all runs where none is named', () => {
    expect(settingsOf('{concurrency: {limit: 1000}}')?.concurrency?.key({ a: 1 })).toBe('')
  })

  it('knows a long key by its hash', () => {
    const key = settingsOf("{concurrency: {key: '${input.id}', limit: 1}}")?.concurrency?.key
    const long = key?.({ id: 'x'.repeat(100_000) })
    expect(long).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(key?.({ id: `${'x'.repeat(99_999)}y` })).not.toBe(long)
  })

  it('costs no more than the input, however often a key repeats it', () => {
    const key = settingsOf(`{concurrency: {key: '${'${input.id}'.repeat(90)}', limit: 1}}`)?.concurrency?.key
    const id = 'x'.repeat(16 * 1024 * 1024)
    expect(key?.({ id })).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(key?.({ id: `${id}y` })).not.toBe(key?.({ id }))
  })
})

describe('faults', () => {
  it.each([
    ['[1]', '1:8 /x-run type x-run must be a mapping with priority, tag, concurrency'],
    ['{prio: 1}', "1:9 /x-run/prio unknown_key unknown key 'prio' in x-run (known: priority, tag, concurrency)"],
    ['{priority: 101}', '1:19 /x-run/priority range priority of x-run must be a whole number from -100 to 100'],
    ['{priority: 1.5}', '1:19 /x-run/priority range priority of x-run must be a whole number from -100 to 100'],
    ['{priority: high}', '1:19 /x-run/priority range priority of x-run must be a whole number from -100 to 100'],
    [
      '{tag: GPU}',
      '1:14 /x-run/tag pattern tag of x-run must be a text of at most 63 lower-case letters, digits, - and _, beginning with a letter or digit',
    ],
    [
      '{tag: 7}',
      '1:14 /x-run/tag pattern tag of x-run must be a text of at most 63 lower-case letters, digits, - and _, beginning with a letter or digit',
    ],
    ['{concurrency: 5}', '1:22 /x-run/concurrency type concurrency of x-run must be a mapping with key, limit'],
    ['{concurrency: {key: a}}', '1:9 /x-run/concurrency/limit required concurrency of x-run has no limit'],
    [
      '{concurrency: {limit: 0}}',
      '1:30 /x-run/concurrency/limit range concurrency limit of x-run must be a whole number from 1 to 1000',
    ],
    [
      '{concurrency: {limit: 1, per: a}}',
      "1:33 /x-run/concurrency/per unknown_key unknown key 'per' in concurrency of x-run (known: key, limit)",
    ],
    ['{concurrency: {limit: 1, key: [a]}}', '1:38 /x-run/concurrency/key type concurrency key of x-run must be a text'],
    [
      `{concurrency: {limit: 1, key: '${'x'.repeat(1_001)}'}}`,
      '1:38 /x-run/concurrency/key range concurrency key of x-run has more than 1000 characters',
    ],
    ...['input.a + 1', 'shared.a', 'secrets.TOKEN', 'execution.id', 'Math.random()', 'input.a()'].map((code) => [
      `{concurrency: {limit: 1, key: 'for \${${code}}'}}`,
      '1:38 /x-run/concurrency/key expression concurrency key of x-run may hold only members of the input, such as ${input.customer_id}',
    ]),
    [
      "{concurrency: {limit: 1, key: '${input.a'}}",
      "1:38 /x-run/concurrency/key expression a '${' without its closing '}'",
    ],
  ])('are told where they stand: %s', (run, fault) => {
    expect(told(run ?? '')).toEqual([fault])
  })
})
