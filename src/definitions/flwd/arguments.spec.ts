import { describe, expect, it } from 'vitest'
import { processorTime } from '../../../test/support/processor-time.js'
import type { JsonObject } from '../../platform/json.js'
import { checkArguments } from './arguments.js'

const schema: JsonObject = {
  type: 'object',
  properties: {
    target: { type: 'string', minLength: 1 },
    keep: { type: 'integer', minimum: 1, default: 7 },
    hosts: { type: 'array', items: { type: 'string' }, uniqueItems: true },
    options: { type: 'object', properties: { level: { type: 'integer', default: 3 } }, default: {} },
    code: { type: 'string', pattern: '^(a+)+$' },
    token: { type: 'string', format: 'secret', minLength: 8 },
  },
  required: ['target'],
}

function faultsOf(given: JsonObject) {
  const checked = checkArguments(schema, given)
  return checked.ok ? [] : checked.faults.map(({ arg, pointer, code }) => `${arg} ${pointer} ${code}`)
}

describe('arguments', () => {
  it('get their defaults, and those who gave them keep theirs as they were', () => {
    const given = { target: 'x' }
    expect(checkArguments(schema, given)).toEqual({ ok: true, args: { target: 'x', keep: 7, options: { level: 3 } } })
    expect(given).toEqual({ target: 'x' })
  })

  it('have every fault told by their names', () => {
    expect(faultsOf({ keep: 0, hosts: ['a', 1], options: { level: 'x' }, more: 1, 'a/b': 2 })).toEqual([
      'target /target required',
      'more /more unknown_parameter',
      'a/b /a~1b unknown_parameter',
      'keep /keep minimum',
      'hosts /hosts/1 type',
      'options /options/level type',
    ])
  })

  it('are not turned into other types', () => {
    expect(faultsOf({ target: 5, keep: '5' })).toEqual(['target /target type', 'keep /keep type'])
  })

  it('that are secrets are in no fault', () => {
    const checked = checkArguments(schema, { target: 'x', token: 'hunter2' })
    expect(JSON.stringify(checked)).toContain('token')
    expect(JSON.stringify(checked)).not.toContain('hunter2')
  })

  it('that the prototype has are not there', () => {
    expect(faultsOf(JSON.parse('{"target": "x", "__proto__": {"keep": 1}}'))).toEqual([
      '__proto__ /__proto__ unknown_parameter',
    ])
    expect(faultsOf({ target: 'x', constructor: 1, toString: 2 } as JsonObject)).toHaveLength(2)
  })

  it('are each judged by their own pattern', () => {
    const two: JsonObject = {
      type: 'object',
      properties: { a: { type: 'string', pattern: '^a$' }, b: { type: 'string', pattern: '^b$' } },
    }
    expect(checkArguments(two, { a: 'a', b: 'b' }).ok).toBe(true)
    expect(checkArguments(two, { a: 'a', b: 'a' }).ok).toBe(false)
  })

  it('of endless cost are checked in no time, or refused', () => {
    const spent = processorTime()
    expect(faultsOf({ target: 'x', code: `${'a'.repeat(50_000)}!` })).toHaveLength(1)
    expect(faultsOf({ target: 'x'.repeat(200_000) })).toEqual(['  too_large'])
    expect(faultsOf({ target: 'x', hosts: Array.from({ length: 20_000 }, String) })).toEqual(['  too_large'])
    let deep: JsonObject = {}
    for (let level = 0; level < 50_000; level++) deep = { a: deep }
    expect(faultsOf({ target: 'x', options: deep })).toEqual(['  too_large'])
    expect(spent()).toBeLessThan(5_000)
  })

  it('may be of any name where the job says so', () => {
    const open: JsonObject = { type: 'object', properties: {}, additionalProperties: { type: 'string' } }
    expect(checkArguments(open, { any: 'x' }).ok).toBe(true)
    expect(checkArguments(open, { any: 1 }).ok).toBe(false)
  })
})
