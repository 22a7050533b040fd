import { beforeEach, describe, expect, it } from 'vitest'
import type { StepType, Transaction } from '../../engine/step.js'
import type { JsonObject } from '../../platform/json.js'
import { InMemoryFlowKeyValues } from '../flow-key-values.fake.js'
import { checkParams } from '../params.js'
import { FakeStepContext, failure, runStep } from '../step-context.fake.js'
import { outputAsDescribed } from './described.fake.js'
import { kvSteps } from './kv.js'

let step: FakeStepContext
let entries: InMemoryFlowKeyValues
beforeEach(() => {
  step = new FakeStepContext()
  entries = new InMemoryFlowKeyValues(() => step.now())
})

const typeNamed = (name: string) => kvSteps(entries).find((type) => type.name === name) as StepType
const output = (name: string, params: JsonObject, as = step) => outputAsDescribed(typeNamed(name), params, as)

describe('kv-set', () => {
  it('keeps a value for the flow unless it says for whom', async () => {
    expect(await output('kv-set', { key: 'k', value: { a: 1 } })).toEqual({
      key: 'k',
      value: { a: 1 },
      scope: 'flow',
      scopeKey: 'flow_1',
      version: 1,
    })
    expect(await output('kv-set', { key: 'k', value: 2, scope: 'global' })).toMatchObject({
      scopeKey: null,
      version: 1,
    })
    expect(await output('kv-set', { key: 'k', value: 3, scope: 'flow_group' })).toMatchObject({ scopeKey: 'group_1' })
    const elsewhere = { key: 'k', value: 4, scope: 'flow', scopeKey: 'flow_2' }
    expect(await output('kv-set', elsewhere)).toMatchObject({ scopeKey: 'flow_2', version: 1 })
    expect(await output('kv-set', { ...elsewhere, value: 5 })).toMatchObject({ version: 2 })
    expect(await output('kv-get', { key: 'k' })).toEqual({ value: { a: 1 }, found: true })
  })

  it('forgets after its time', async () => {
    await output('kv-set', { key: 'k', value: 1, ttlSeconds: 0.5 })
    await step.sleepUntil(new Date(step.now().getTime() + 499))
    expect(await output('kv-get', { key: 'k' })).toEqual({ value: 1, found: true })
    await step.sleepUntil(new Date(step.now().getTime() + 1))
    expect(await output('kv-get', { key: 'k' })).toEqual({ value: null, found: false })
  })

  it('keeps no secret', async () => {
    const careful = new FakeStepContext({ secrets: ['hunter22'] })
    expect(await output('kv-set', { key: 'k', value: ['is hunter22'] }, careful)).toMatchObject({ value: ['is ***'] })
    expect(await output('kv-append', { key: 'k', value: 'hunter22' }, careful)).toMatchObject({ appended: '***' })
    expect(await output('kv-get', { key: 'k' })).toEqual({ value: ['is ***', '***'], found: true })
  })
})

describe('kv-get', () => {
  it('tells null from nothing, and inherits unless it names a scope', async () => {
    await output('kv-set', { key: 'k', value: null, scope: 'global' })
    expect(await output('kv-get', { key: 'k' })).toEqual({ value: null, found: true })
    expect(await output('kv-get', { key: 'k', scope: 'flow' })).toEqual({ value: null, found: false })
    expect(await output('kv-get', { key: '__proto__' })).toEqual({ value: null, found: false })
  })
})

describe('kv-append', () => {
  it('makes a list, and adds to it', async () => {
    expect(await output('kv-append', { key: 'k', value: 'a', scope: 'global' })).toEqual({
      key: 'k',
      appended: 'a',
      scope: 'global',
      scopeKey: null,
      version: 1,
      length: 1,
    })
    expect(await output('kv-append', { key: 'k', value: null, scope: 'global' })).toMatchObject({ length: 2 })
    expect(await output('kv-get', { key: 'k' })).toEqual({ value: ['a', null], found: true })
    await output('kv-set', { key: 'k', value: 'text', scope: 'global' })
    const refused = failure(runStep(typeNamed('kv-append'), { key: 'k', value: 1, scope: 'global' }, step))
    expect(await refused).toMatchObject({ message: "the value of 'k' is not a list", retryable: false })
  })
})

describe('the kv steps', () => {
  it('write in the transaction of the step', async () => {
    const transaction = {} as Transaction
    const inTransaction = new FakeStepContext({ transaction })
    for (const name of ['kv-set', 'kv-append']) {
      entries.joined = undefined
      await output(name, { key: name, value: 1 }, inTransaction)
      expect(entries.joined).toBe(transaction)
      expect(typeNamed(name).stepClass).toBe('transactional')
    }
    expect(typeNamed('kv-get').stepClass).toBe('pure')
  })

  it.each<[string, JsonObject, string]>([
    ['kv-get', {}, 'key is required'],
    ['kv-get', { key: '' }, 'key must not be empty'],
    ['kv-get', { key: 'a\u0000' }, 'key must match ^[^\\u0000]*$'],
    ['kv-get', { key: 'x'.repeat(513) }, 'key must have at most 512 characters'],
    ['kv-get', { key: 'k', scope: 'mine' }, 'scope must be one of global, flow_group, flow'],
    ['kv-get', { key: 'k', scopeKey: 'flow_1' }, 'scope is required'],
    ['kv-set', { key: 'k', value: 1, scope: 'global', scopeKey: 'x' }, 'scope must be one of flow_group, flow'],
    ['kv-set', { key: 'k' }, 'value is required'],
    ['kv-set', { key: 'k', value: 1, ttlSeconds: 0 }, 'ttlSeconds must be more than 0'],
    ['kv-append', { key: 'k', value: 1, ttlSeconds: 1 }, "'ttlSeconds' is not a parameter here"],
  ])('%s refuses %j', (name, params, detail) => {
    const faults = checkParams(typeNamed(name), params, { expressions: 'none' })
    expect(faults.map((fault) => fault.detail)).toEqual([detail])
  })
})
