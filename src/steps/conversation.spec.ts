import { describe, expect, it } from 'vitest'
import { StepError } from '../engine/step.js'
import { OutboundRefused } from '../platform/outbound/errors.js'
import { converse, durationParam, timeLimit, withoutSecrets } from './conversation.js'
import { FakeStepContext, failure } from './step-context.fake.js'

const service = { name: 'the service', timeoutMs: 60_000 }
const step = new FakeStepContext()
const fails = (error: unknown, more = {}) =>
  failure(converse({ ...service, ...more }, step, () => Promise.reject(error)))

describe('converse', () => {
  it('answers what the talk comes to', async () => {
    expect(await converse(service, step, async () => 7)).toBe(7)
  })

  it('says what a failure means, from the most to the least specific', async () => {
    const own = new StepError('mine', { code: 'mine', action: 'other', output: 1, retryable: false })
    expect(await fails(own)).toMatchObject({
      message: 'mine',
      code: 'mine',
      action: 'other',
      output: 1,
      retryable: false,
    })
    const explained = { explain: () => ({ message: 'explained', code: 'known' }) }
    expect(await fails(new Error('x'), explained)).toMatchObject({
      message: 'explained',
      code: 'known',
      retryable: true,
    })
    const wrapped = new Error('fetch failed', { cause: new OutboundRefused('10.0.0.1', 'it is a private address') })
    expect(await fails(wrapped)).toMatchObject({ code: 'outbound_refused', retryable: false })
    const everyAddress = new AggregateError([Object.assign(new Error('x'), { code: 'ECONNREFUSED' })])
    expect(await fails(everyAddress)).toMatchObject({
      message: 'the service refused the connection',
      code: 'connection_failed',
    })
    const unnamed = Object.assign(new Error('x'), { code: 'ENOTFOUND' })
    expect((await fails(unnamed)).message).toBe('the service has a host name without an address')
    expect((await fails('text')).message).toBe('the service: text')
  })

  it('repeats no secret and keeps no cause', async () => {
    const error = await fails(new Error('login as ada:pa ss/w?rd failed, pa%20ss%2Fw%3Frd'), {
      secrets: ['pa ss/w?rd', undefined, 3],
    })
    expect(error.message).toBe('the service: login as ada:*** failed, ***')
    expect(error.cause).toBeUndefined()
  })

  it('does not begin once the step is stopped', async () => {
    const stopped = new FakeStepContext({ signal: AbortSignal.abort() })
    let began = false
    const error = await failure(converse(service, stopped, async () => (began = true)))
    expect(error).toMatchObject({ code: 'aborted', retryable: false })
    expect(began).toBe(false)
  })

  it('does not wait for a talk that ignores its end', async () => {
    const error = await failure(converse({ ...service, timeoutMs: 10 }, step, () => new Promise(() => {})))
    expect(error).toMatchObject({ message: 'the service did not answer within 10ms', code: 'timeout', retryable: true })
  })
})

it('reads durations with and without a unit', async () => {
  expect(timeLimit(undefined, '30s')).toBe(30_000)
  expect(timeLimit(5, '30s')).toBe(5_000)
  expect(timeLimit(5, '30s', 1)).toBe(5)
  expect(timeLimit('1h30m', '30s')).toBe(3_600_000)
  expect(durationParam('ttl', '90m')).toBe(5_400_000)
  for (const wrong of ['soon', '0', 0, -1]) expect(() => durationParam('ttl', wrong)).toThrow(/^ttl/)
})

it('hides the longer of two secrets whole', () => {
  expect(withoutSecrets('abcdef abc', ['abc', 'abcdef'])).toBe('*** ***')
  expect(withoutSecrets('a b', ['a'])).toBe('a b')
})
