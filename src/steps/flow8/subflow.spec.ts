import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../platform/json.js'
import { FakeStepContext, failure } from '../step-context.fake.js'
import { outputAsDescribed } from './described.fake.js'
import { subflow } from './subflow.js'

const OTHER = '65abc123'

function play(params: JsonObject, step = new FakeStepContext()) {
  return outputAsDescribed(subflow(), { flowId: OTHER, ...params }, step)
}

describe('subflow', () => {
  it('plays the other flow and puts out what came of it', async () => {
    const step = new FakeStepContext({ input: 'of the layer' })
    step.ends.set(OTHER, { state: 'completed', result: { order: 7 } })
    expect(await play({ args: { n: 1 } }, step)).toEqual({ state: 'DONE', playId: 'run_child_1', out: { order: 7 } })
    expect(step.children).toEqual([{ flowId: OTHER, input: { n: 1 }, awaited: true }])
    expect(step.childWaits).toEqual([undefined])
  })

  it('gives it no args unless they are said', async () => {
    const step = new FakeStepContext({ input: 'of the layer' })
    step.ends.set(OTHER, { state: 'completed', result: {} })
    await play({}, step)
    expect(step.children).toMatchObject([{ input: {} }])
  })

  it('goes on at once where it is not to wait', async () => {
    const step = new FakeStepContext()
    expect(await play({ async: true, timeout: 5 }, step)).toEqual({ state: 'RUN', playId: 'run_child_1', out: null })
    expect(step.children).toMatchObject([{ awaited: false }])
    expect(step.childWaits).toEqual([])
  })

  it.each<[number | string, number]>([
    [90, 90_000],
    [0.5, 500],
    ['2m', 120_000],
  ])('waits %j, and then fails', async (timeout, ms) => {
    const step = new FakeStepContext()
    step.ends.set(OTHER, { state: 'overdue' })
    expect(await failure(play({ timeout }, step))).toMatchObject({
      code: 'subflow_timeout',
      action: 'timeout',
      output: { state: 'SKIP', playId: 'run_child_1' },
    })
    expect(step.childWaits).toEqual([ms])
  })

  it('fails with what the other failed with', async () => {
    const step = new FakeStepContext()
    step.ends.set(OTHER, { state: 'failed', error: { message: 'no stock', code: 'http_status', node: 'buy' } })
    expect(await failure(play({}, step))).toMatchObject({
      message: `flow ${OTHER} failed: no stock`,
      code: 'subflow_failed',
      output: {
        state: 'FAIL',
        playId: 'run_child_1',
        out: null,
        error: { message: 'no stock', code: 'http_status', ref: 'buy' },
      },
      retryable: true,
    })
  })

  it('fails when the other is cancelled, or cannot be started', async () => {
    const step = new FakeStepContext()
    step.ends.set(OTHER, { state: 'cancelled' })
    expect(await failure(play({}, step))).toMatchObject({ code: 'subflow_cancelled', retryable: false })
    step.refusal = { refusal: { message: 'no such flow', code: 'subflow_missing', retryable: false } }
    expect(await failure(play({}, step))).toMatchObject({ message: 'no such flow', code: 'subflow_missing' })
  })

  it('keeps secrets out of the args, which can be read later', async () => {
    const step = new FakeStepContext({ secrets: ['s3cr3t-value'] })
    await play({ async: true, args: { token: 'Bearer s3cr3t-value' } }, step)
    expect(step.children).toMatchObject([{ input: { token: 'Bearer ***' } }])
  })

  it.each<JsonObject>([{ flowId: '' }, { args: [1] }, { async: 'no' }, { timeout: 0 }, { timeout: -1 }, { nodes: 1 }])(
    'refuses %j',
    async (params) => {
      expect((await failure(play(params))).code).toBe('invalid_params')
    },
  )
})
