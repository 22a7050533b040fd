import { describe, expect, it } from 'vitest'
import { payloadsOf, readPayload } from './payload.js'

describe('the payloads of hints', () => {
  it('bring every id of every kind once, in messages of less than 8,000 bytes', () => {
    const runs = Array.from({ length: 5_000 }, (_, index) => `run_${index}`)
    const tags = ['default', 'größer', '"quoted"', '\u0000', 'x'.repeat(200)]
    const payloads = payloadsOf(
      'me',
      new Map([
        ['events', new Set(runs)],
        ['due', new Set(tags)],
      ]),
    )
    expect(Math.max(...payloads.map((payload) => Buffer.byteLength(payload)))).toBeLessThan(8_000)
    const messages = payloads.map((payload) => readPayload(payload))
    expect(messages.every((message) => message?.from === 'me')).toBe(true)
    const idsOf = (kind: string) => messages.flatMap((message) => (message?.kind === kind ? message.ids : []))
    expect(idsOf('events')).toEqual(runs)
    expect(idsOf('due')).toEqual(tags)
    expect(payloads.length).toBeLessThan(10)
  })

  it('leave out what is too long to be an id', () => {
    expect(payloadsOf('me', new Map([['due', new Set(['x'.repeat(201)])]]))).toEqual([])
  })

  it.each([
    '',
    'run_1',
    'null',
    '{}',
    '[]',
    '["a","b"]',
    '["a","b",["c"],1]',
    '["a","b","c"]',
    '["a","b",[1]]',
    '["a","b",[["c"]]]',
    '[1,"b",["c"]]',
    '["a",{},["c"]]',
    `["a","b",["${'x'.repeat(201)}"]]`,
    `["a","b",[${'"c",'.repeat(3_000)}"c"]]`,
    `${'['.repeat(5_000)}`,
  ])('are passed over when they are not ours: %.40s', (payload) => {
    expect(readPayload(payload)).toBeUndefined()
  })
})
