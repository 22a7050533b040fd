import { describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../platform/json.js'
import { condition } from './condition.js'
import { delay } from './delay.js'
import { FakeStepContext, failure, runStep } from './step-context.fake.js'
import { transform } from './transform.js'
import { wait } from './wait.js'

const START = new Date('2026-01-01T00:00:00Z')
const at = (ms: number) => new Date(START.getTime() + ms)

describe('transform', () => {
  const run = async (params: JsonObject, input: Json) =>
    (await runStep(transform(), params, new FakeStepContext({ input }))).output

  it('answers what its script returns', async () => {
    expect(await run({ script: 'return input.items.map(x => x * 2)' }, { items: [1, 2] })).toEqual([2, 4])
    expect(await run({ script: 'input.a + 1' }, { a: 1 })).toBe(2)
    expect(await run({ script: 'return `${input.a}!`' }, { a: 1 })).toBe('1!')
  })

  it('maps paths, and takes what is no text as it is', async () => {
    const input = { data: { items: [{ id: 1 }, { id: 2 }] } }
    const mapping = {
      result: '$.data.items',
      ids: '$.data.items[*].id',
      first: '$.data.items[0].id',
      none: '$.x',
      n: 5,
    }
    expect(await run({ mapping }, input)).toEqual({ result: input.data.items, ids: [1, 2], first: 1, none: null, n: 5 })
  })

  it('fails with the error of its script', async () => {
    await expect(run({ script: "throw new Error('no items')" }, {})).rejects.toThrow('no items')
    expect((await failure(run({ mapping: { a: 'items' } }, {}))).code).toBe('invalid_params')
  })
})

describe('condition', () => {
  const run = (params: JsonObject, input: Json = {}) => runStep(condition(), params, new FakeStepContext({ input }))

  it.each<[string, Json, string]>([
    ["return 'large'", 'large', 'large'],
    ['return input.n > 1', true, 'true'],
    ['input.n < 1', false, 'false'],
    ['return 42', 42, '42'],
    ['return [1]', [1], '[1]'],
    ['return undefined', null, 'default'],
    ["return ''", '', 'default'],
  ])('condition_script %s gives %j and the action %s', async (condition_script, output, action) => {
    expect(await run({ condition_script }, { n: 2 })).toEqual({ output, action })
  })

  it('takes the first condition that is true, else the default action', async () => {
    const conditions = [
      { condition: 'input.total > 100', action: 'large' },
      { condition: 'input.total > 10', action: 'medium' },
    ]
    const params = { conditions, default_action: 'small' }
    expect(await run(params, { total: 500 })).toEqual({ output: 'large', action: 'large' })
    expect(await run(params, { total: 50 })).toEqual({ output: 'medium', action: 'medium' })
    expect(await run(params, { total: 5 })).toEqual({ output: 'small', action: 'small' })
    expect(await run({ conditions }, { total: 5 })).toEqual({ output: 'default', action: 'default' })
    expect(await run({ conditions: [{ condition: true, action: 'else' }] })).toMatchObject({ action: 'else' })
  })

  it('fails with the error of its script', async () => {
    await expect(run({ condition_script: 'return input.a.b' })).rejects.toThrow(/undefined/)
  })
})

describe('delay', () => {
  it('sleeps and hands on what came in', async () => {
    const step = new FakeStepContext({ input: { a: 1 }, now: START })
    expect(await runStep(delay(), { duration: '1h30m' }, step)).toEqual({ output: { a: 1 } })
    expect(step.sleeps).toEqual([at(5_400_000)])
  })

  it('ends when its run is aborted', async () => {
    const step = new FakeStepContext({ signal: AbortSignal.abort(new Error('cancelled')) })
    await expect(runStep(delay(), { duration: '1h' }, step)).rejects.toThrow('cancelled')
  })

  it.each<[JsonObject, string]>([
    [{ seconds: 90 }, '2026-01-01T00:01:30.000Z'],
    [{ durationMs: 250 }, '2026-01-01T00:00:00.250Z'],
    [{ seconds: 0.5 }, '2026-01-01T00:00:00.500Z'],
  ])('takes %j as well', async (params, until) => {
    for (const type of [delay(), wait()]) {
      const step = new FakeStepContext()
      await runStep(type, params, step)
      expect(step.sleeps.map((at) => at.toISOString())).toEqual([until])
    }
  })

  it('fails on what is no duration', async () => {
    expect((await failure(runStep(delay(), { duration: 'soon' }))).message).toBe(
      'duration must be a duration such as 30s, 500ms or 1h30m',
    )
  })
})

describe('wait', () => {
  const run = (params: JsonObject, step: FakeStepContext) => runStep(wait(), params, step)
  const context = (variables: Record<string, Json> = {}) => new FakeStepContext({ now: START, variables })

  it.each<JsonObject>([{ type: 'duration', duration: '5m' }, { duration: '5m' }])(
    'for a duration: %j',
    async (params) => {
      const step = context()
      expect(await run(params, step)).toEqual({ output: { waited_for: '5m', type: 'duration' } })
      expect(step.sleeps).toEqual([at(300_000)])
    },
  )

  it.each<JsonObject>([
    { type: 'until_time', time: '2026-01-02T01:00:00+01:00' },
    { time: '2026-01-02T01:00:00+01:00' },
  ])('until a time: %j', async (params) => {
    const step = context()
    expect(await run(params, step)).toEqual({ output: { waited_until: params.time, type: 'until_time' } })
    expect(step.sleeps).toEqual([new Date('2026-01-02T00:00:00Z')])
  })

  it('for a condition: evaluated at once and after every interval', async () => {
    const step = context({ calls: [] })
    const script = 'calls.push(1); return calls.length >= 3'
    expect(await run({ type: 'condition', condition: script, interval: '2s' }, step)).toEqual({
      output: { attempts: 3, interval: '2s', type: 'condition', completed: true },
    })
    expect(step.sleeps).toEqual([at(2_000), at(4_000)])
  })

  it('fails along the edge timeout when the condition never holds, after ten attempts a second apart', async () => {
    const step = context()
    expect(await failure(run({ condition: 'false' }, step))).toMatchObject({
      message: 'the condition did not hold in 10 attempts',
      code: 'wait_timeout',
      action: 'timeout',
      retryable: false,
      output: { attempts: 10, interval: '1s', type: 'condition', completed: false },
    })
    expect(step.sleeps).toHaveLength(9)
  })

  it('looks a last time when the timeout of a condition has come', async () => {
    const step = context()
    const params = { condition: 'false', interval: '2s', timeout: '3s', max_attempts: 100 }
    expect(await failure(run(params, step))).toMatchObject({
      message: 'the condition did not hold within 3s',
      output: { attempts: 3, completed: false },
    })
    expect(step.sleeps).toEqual([at(2_000), at(3_000)])
  })

  it('for an event by its key', async () => {
    const step = context()
    step.signals.set('order-123', { paid: true })
    expect(await run({ timeout: '1h', key: 'order-123' }, step)).toEqual({
      output: { key: 'order-123', data: { paid: true }, type: 'event', completed: true },
    })
    expect(step.waits).toEqual([{ key: 'order-123', deadline: at(3_600_000) }])
  })

  it('fails along the edge timeout when the event does not come', async () => {
    expect(await failure(run({ timeout: '1h', key: 'order-123' }, context()))).toMatchObject({
      message: "no event 'order-123' came within 1h",
      code: 'wait_timeout',
      action: 'timeout',
      output: { key: 'order-123', data: null, type: 'event', completed: false },
    })
  })

  it('waits for ever without a timeout', async () => {
    const step = context()
    step.signals.set('k', null)
    await run({ key: 'k' }, step)
    expect(step.waits).toEqual([{ key: 'k', deadline: undefined }])
  })
})
