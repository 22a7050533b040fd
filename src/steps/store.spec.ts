import { beforeEach, describe, expect, it } from 'vitest'
import type { Transaction } from '../engine/step.js'
import type { JsonObject } from '../platform/json.js'
import { InMemoryKeyValues } from './key-value-store.fake.js'
import { FakeStepContext, failure, runStep } from './step-context.fake.js'
import { store } from './store.js'

let step: FakeStepContext
let entries: InMemoryKeyValues
beforeEach(() => {
  step = new FakeStepContext()
  entries = new InMemoryKeyValues(() => step.now())
})
const run = (params: JsonObject, as = step) => runStep(store(entries), params, as)
const output = async (params: JsonObject) => (await run(params)).output

describe('store', () => {
  it.each([
    ['set', 'get'],
    ['save', 'load'],
  ])('%s keeps a value that %s answers, and shares it', async (set, get) => {
    expect(await run({ operation: set, key: 'cursor', value: { page: 2 } })).toEqual({
      output: { page: 2 },
      shared: { cursor: { page: 2 } },
    })
    expect(await run({ operation: get, key: 'cursor' })).toEqual({ output: { page: 2 } })
  })

  it('keeps null as a value, and fails on a key that was never set', async () => {
    await run({ operation: 'set', key: 'nothing', value: null })
    expect(await output({ operation: 'get', key: 'nothing' })).toBeNull()
    expect(await failure(run({ operation: 'get', key: 'missing' }))).toMatchObject({
      message: 'key not found: missing',
      code: 'key_not_found',
      retryable: false,
    })
  })

  it.each(['1m', 60])('forgets after a ttl of %s', async (ttl) => {
    await run({ operation: 'set', key: 'brief', value: 1, ttl })
    await step.sleepUntil(new Date(step.now().getTime() + 59_999))
    expect(await output({ operation: 'get', key: 'brief' })).toBe(1)
    await step.sleepUntil(new Date(step.now().getTime() + 1))
    expect((await failure(run({ operation: 'get', key: 'brief' }))).message).toBe('key not found: brief')
    expect(await output({ operation: 'list' })).toEqual([])
  })

  it('deletes, lists in order and clears', async () => {
    for (const key of ['b', 'c', 'a']) await run({ operation: 'set', key, value: key })
    expect(await output({ operation: 'list' })).toEqual(['a', 'b', 'c'])
    expect(await output({ operation: 'delete', key: 'b' })).toEqual({ deleted: true, key: 'b' })
    expect(await output({ operation: 'delete', key: 'b' })).toEqual({ deleted: false, key: 'b' })
    expect(await output({ operation: 'clear' })).toEqual({ cleared: 2 })
    expect(await output({ operation: 'list' })).toEqual([])
  })

  it('increments and appends, from nothing too', async () => {
    expect(await output({ operation: 'increment', key: 'n' })).toEqual({ key: 'n', new_value: 1, incremented: 1 })
    expect(await output({ operation: 'increment', key: 'n', amount: -2.5 })).toEqual({
      key: 'n',
      new_value: -1.5,
      incremented: -2.5,
    })
    expect(await output({ operation: 'append', key: 'log', value: { a: 1 } })).toEqual({
      key: 'log',
      appended: { a: 1 },
    })
    await run({ operation: 'append', key: 'log', value: null })
    expect(await output({ operation: 'get', key: 'log' })).toEqual([{ a: 1 }, null])
    expect((await failure(run({ operation: 'increment', key: 'log' }))).message).toBe("the value of 'log' is no number")
    expect((await failure(run({ operation: 'append', key: 'n', value: 1 }))).message).toBe(
      "the value of 'n' is no list",
    )
  })

  it('keeps no secret', async () => {
    const careful = new FakeStepContext({ secrets: ['hunter22'] })
    await run({ operation: 'set', key: 'a', value: { key: 'is hunter22' } }, careful)
    await run({ operation: 'append', key: 'b', value: 'hunter22' }, careful)
    expect([await output({ operation: 'get', key: 'a' }), await output({ operation: 'get', key: 'b' })]).toEqual([
      { key: 'is ***' },
      ['***'],
    ])
  })

  it("never shows another account's entries", async () => {
    await run({ operation: 'set', key: 'k', value: 'mine' })
    const stranger = new FakeStepContext({ run: { accountId: 'account_2' } })
    expect((await failure(run({ operation: 'get', key: 'k' }, stranger))).message).toBe('key not found: k')
    expect((await run({ operation: 'list' }, stranger)).output).toEqual([])
  })
})

describe('store: query', () => {
  beforeEach(async () => {
    const orders: Record<string, JsonObject | number> = {
      o1: { total: 10, state: 'paid', tags: ['a', 'b'], customer: { name: 'Ada' } },
      o2: { total: 200, state: 'open', tags: ['b'], customer: { name: 'Bob' } },
      o3: { total: 30, state: 'paid', customer: { name: 'Cyd' } },
      o4: { state: 'void', total: null },
      plain: 5,
    }
    for (const [key, value] of Object.entries(orders)) await run({ operation: 'set', key, value })
  })

  const keys = async (params: JsonObject) => {
    const found = (await output({ operation: 'query', ...params })) as { _key: string }[]
    return found.map(({ _key }) => _key)
  }

  it('answers objects with their key', async () => {
    expect(await output({ operation: 'query', filter: { state: 'open' } })).toEqual([
      { total: 200, state: 'open', tags: ['b'], customer: { name: 'Bob' }, _key: 'o2' },
    ])
    expect(await output({ operation: 'query', filter: { value: 5 } })).toEqual([{ value: 5, _key: 'plain' }])
  })

  it.each<[JsonObject, string[]]>([
    [{ state: 'paid' }, ['o1', 'o3']],
    [{ state: { $eq: 'paid' } }, ['o1', 'o3']],
    [{ state: { $ne: 'paid' } }, ['o2', 'o4', 'plain']],
    [{ total: { $gt: 30 } }, ['o2']],
    [{ total: { $gte: 30 } }, ['o2', 'o3']],
    [{ total: { $lt: 30 } }, ['o1']],
    [{ total: { $lte: 30 } }, ['o1', 'o3']],
    [{ total: { $gt: 10, $lt: 200 } }, ['o3']],
    [{ state: { $gt: 'open' } }, ['o1', 'o3', 'o4']],
    [{ total: { $gt: '1' } }, []],
    [{ state: { $in: ['open', 'void'] } }, ['o2', 'o4']],
    [{ tags: { $contains: 'a' } }, ['o1']],
    [{ state: { $contains: 'pai' } }, ['o1', 'o3']],
    [{ tags: ['b'] }, ['o2']],
    [{ customer: { name: 'Ada' } }, ['o1']],
    [{ 'customer.name': { $in: ['Bob', 'Cyd'] } }, ['o2', 'o3']],
    [{ state: 'paid', total: { $gt: 10 } }, ['o3']],
    [{ _key: { $gte: 'o4' } }, ['o4', 'plain']],
    [{ constructor: { $ne: null } }, []],
    [{}, ['o1', 'o2', 'o3', 'o4', 'plain']],
  ])('filter %j', async (filter, expected) => {
    expect(await keys({ filter })).toEqual(expected)
  })

  it('sorts both ways, what lacks the member last, and cuts at the limit', async () => {
    expect(await keys({ sort: 'total' })).toEqual(['o1', 'o3', 'o2', 'o4', 'plain'])
    expect(await keys({ sort: '-total' })).toEqual(['o2', 'o3', 'o1', 'o4', 'plain'])
    expect(await keys({ sort: '-total', limit: 2 })).toEqual(['o2', 'o3'])
    expect(await keys({ sort: '-customer.name', limit: 1 })).toEqual(['o3'])
    expect(await keys({ limit: 0 })).toEqual([])
  })

  it('refuses an unknown operator by its name', async () => {
    expect((await failure(run({ operation: 'query', filter: { total: { $near: 5 } } }))).message).toContain(
      "filter: unknown operator '$near'",
    )
  })
})

describe('the class of an operation', () => {
  const type = store(new InMemoryKeyValues())

  it.each(['get', 'load', 'list', 'query'])('%s only reads', (operation) => {
    expect(type.classOf?.({ operation })).toBe('pure')
  })

  it.each(['set', 'save', 'delete', 'clear', 'increment', 'append', '${input.operation}'])(
    '%s writes, in the transaction that it is given',
    async (operation) => {
      expect(type.classOf?.({ operation })).toBe('transactional')
      const transaction = {} as Transaction
      const params = operation.startsWith('$') ? { operation: 'set' } : { operation }
      const needs = { key: 'k', value: 1, ...(operation === 'append' ? { key: 'list' } : {}) }
      await run({ ...params, ...needs }, new FakeStepContext({ transaction }))
      expect(entries.joined).toBe(transaction)
    },
  )
})
