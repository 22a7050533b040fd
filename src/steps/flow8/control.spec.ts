import { describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../../platform/json.js'
import { failure, runStep } from '../step-context.fake.js'
import { aggregator } from './aggregator.js'
import { expectAsDescribed, outputAsDescribed } from './described.fake.js'
import { enumeration } from './enumeration.js'
import { iterator } from './iterator.js'
import { MAX_ITEMS } from './limits.js'
import { router } from './router.js'

describe('router', () => {
  const routes = (...conditions: Json[]) => ({
    routes: conditions.map((condition, at) => ({ condition, label: `route ${at}` })),
  })

  it('takes the first route whose condition holds, and leaves along it', async () => {
    const result = await runStep(router(), routes(false, true, true))
    expect(result).toEqual({ output: { route: 'route 1' }, action: 'route 1' })
    expectAsDescribed(router(), result.output)
  })

  it('falls back to its default, or to none', async () => {
    expect(await runStep(router(), { ...routes(false), default: 'rest' })).toEqual({
      output: { route: 'rest' },
      action: 'rest',
    })
    const none = await runStep(router(), routes(false, null))
    expect(none).toEqual({ output: { route: null } })
    expectAsDescribed(router(), none.output)
  })

  it.each<Json>([true, 1, -1, 'yes', 'true', [0], { a: null }, '{{'])('%j holds', async (condition) => {
    expect(await outputAsDescribed(router(), routes(condition))).toEqual({ route: 'route 0' })
  })

  it.each<Json>([false, null, 0, '', ' ', 'false', '0', '<no value>', [], {}])(
    '%j does not hold',
    async (condition) => {
      expect(await outputAsDescribed(router(), routes(condition))).toEqual({ route: null })
    },
  )

  it.each<JsonObject>([
    {},
    { routes: [] },
    { routes: [{ condition: true }] },
    { routes: [{ condition: true, label: '' }] },
    { routes: Array.from({ length: 1_001 }, () => ({ condition: true, label: 'x' })) },
  ])('refuses what is no list of routes', async (params) => {
    expect((await failure(runStep(router(), params))).code).toBe('invalid_params')
  })
})

describe('enumeration', () => {
  const items = async (params: JsonObject) => {
    const { items } = (await outputAsDescribed(enumeration(), params)) as { items: number[] }
    return items
  }

  it.each<[JsonObject, number[]]>([
    [{ from: 1, to: 4 }, [1, 2, 3, 4]],
    [{ from: 3, to: 1 }, [3, 2, 1]],
    [{ from: 0, to: 10, step: 4 }, [0, 4, 8]],
    [{ from: 10, to: 0, step: -5 }, [10, 5, 0]],
    [{ from: 5, to: 5 }, [5]],
    [{ from: 0, to: 0.3, step: 0.1 }, [0, 0.1, 0.2, 0.3]],
    [{ from: 1e-7, to: 3e-7, step: 1e-7 }, [1e-7, 2e-7, 3e-7]],
    [{ from: 1, to: 4, step: -1 }, []],
  ])('of %j is %j', async (params, expected) => {
    expect(await items(params)).toEqual(expected)
  })

  it('has as many numbers as a list may', async () => {
    expect(await items({ from: 1, to: MAX_ITEMS })).toHaveLength(MAX_ITEMS)
  })

  it.each<JsonObject>([
    { from: 0, to: MAX_ITEMS },
    { from: 0, to: 1e308, step: 1e-300 },
    { from: -1.7e308, to: 1.7e308 },
    { from: 0, to: 1, step: 5e-324 },
    { from: 0, to: 1, step: 0 },
    { from: '1', to: 2 },
    { from: 1 },
  ])('refuses %j', async (params) => {
    expect(await failure(items(params))).toMatchObject({ code: 'invalid_params', retryable: false })
  })
})

describe('aggregator', () => {
  const source: Json[] = [{ id: 1, body: { tags: ['x'] } }, null, { id: 2 }, 'text']
  const collect = (params: JsonObject) => outputAsDescribed(aggregator(), { sourceRef: 'fetch', ...params })

  it('collects what was put out, without the rounds that did not come to it', async () => {
    expect(await collect({ source })).toEqual({ items: [source[0], source[2], 'text'], count: 3 })
  })

  it('collects a member of each; null where it is not there', async () => {
    expect(await collect({ source, field: 'id' })).toEqual({ items: [1, 2, null], count: 3 })
    expect(await collect({ source, field: 'body.tags.0' })).toEqual({ items: ['x', null, null], count: 3 })
  })

  it.each(['__proto__', 'constructor', 'id.constructor', 'body.tags.map', '.', 'length'])(
    'finds no %j',
    async (field) => {
      expect(await collect({ source, field })).toEqual({ items: [null, null, null], count: 3 })
    },
  )

  it('needs a loop, or a list', async () => {
    expect(await failure(collect({}))).toMatchObject({ code: 'no_loop', message: expect.stringContaining("'fetch'") })
    expect((await failure(runStep(aggregator(), {}))).message).toBe('one of sourceRef, source is required')
  })
})

describe('iterator', () => {
  it('is not worked on where there is no loop', async () => {
    expect(await failure(runStep(iterator(), { items: [1] }))).toMatchObject({ code: 'no_loop', retryable: false })
  })

  it.each<JsonObject>([{}, { items: 'abc' }, { items: [], batchSize: 0 }])('refuses %j', async (params) => {
    expect((await failure(runStep(iterator(), params))).code).toBe('invalid_params')
  })
})
