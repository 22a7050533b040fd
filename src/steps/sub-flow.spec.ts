import { describe, expect, it } from 'vitest'
import { FakeStepContext, failure, runStep } from './step-context.fake.js'
import { subFlow } from './sub-flow.js'

const RESULT = { order: 7 }

describe('flow.run', () => {
  it('hands on the result of the flow that it ran', async () => {
    const step = new FakeStepContext({ input: { from: 'before' } })
    step.ends.set('flow_other', { state: 'completed', result: RESULT })
    expect(await runStep(subFlow(), { flow_id: 'flow_other' }, step)).toEqual({ output: RESULT })
    expect(step.children).toEqual([
      { flowId: 'flow_other', version: undefined, input: { from: 'before' }, awaited: true },
    ])
  })

  it('gives it the input and asks for the version that its author names', async () => {
    const step = new FakeStepContext({ input: { from: 'before' } })
    step.ends.set('flow_other', { state: 'completed', result: RESULT })
    await runStep(subFlow(), { flow_id: 'flow_other', version: 'v2', input: [1, null] }, step)
    expect(step.children).toMatchObject([{ version: 'v2', input: [1, null] }])
  })

  it('goes on at once where it is not to wait', async () => {
    const step = new FakeStepContext()
    expect(await runStep(subFlow(), { flow_id: 'flow_other', wait: false }, step)).toEqual({
      output: { id: 'run_child_1', flow_id: 'flow_other' },
    })
    expect(step.children).toMatchObject([{ awaited: false }])
  })

  it('keeps secrets out of the input, which can be read later', async () => {
    const step = new FakeStepContext({ secrets: ['s3cr3t-value'] })
    await runStep(subFlow(), { flow_id: 'flow_other', wait: false, input: { token: 'Bearer s3cr3t-value' } }, step)
    expect(step.children).toMatchObject([{ input: { token: 'Bearer ***' } }])
  })

  it('fails with what the other flow failed with, and says which run that was', async () => {
    const step = new FakeStepContext()
    step.ends.set('flow_other', { state: 'failed', error: { message: 'no stock', code: 'http_status', node: 'buy' } })
    expect(await failure(runStep(subFlow(), { flow_id: 'flow_other' }, step))).toMatchObject({
      message: 'flow flow_other failed: no stock',
      code: 'subflow_failed',
      output: {
        id: 'run_child_1',
        flow_id: 'flow_other',
        error: { message: 'no stock', code: 'http_status', node: 'buy' },
      },
      retryable: true,
    })
  })

  it('fails when the other is cancelled, and does not try again', async () => {
    const step = new FakeStepContext()
    step.ends.set('flow_other', { state: 'cancelled' })
    expect(await failure(runStep(subFlow(), { flow_id: 'flow_other' }, step))).toMatchObject({
      code: 'subflow_cancelled',
      output: { id: 'run_child_1' },
      retryable: false,
    })
  })

  it('fails when the other takes longer than it may', async () => {
    const step = new FakeStepContext()
    step.ends.set('flow_other', { state: 'overdue' })
    expect(await failure(runStep(subFlow(), { flow_id: 'flow_other', timeout: '1m' }, step))).toMatchObject({
      code: 'subflow_timeout',
      action: 'timeout',
      output: { id: 'run_child_1' },
    })
    expect(step.childWaits).toEqual([60_000])
  })

  it('says why nothing was started', async () => {
    const step = new FakeStepContext()
    step.refusal = { refusal: { message: 'no such flow', code: 'subflow_missing', retryable: false } }
    expect(await failure(runStep(subFlow(), { flow_id: 'flow_gone' }, step))).toMatchObject({
      message: 'no such flow',
      code: 'subflow_missing',
      retryable: false,
    })
  })

  it.each([{}, { flow_id: '' }, { flow_id: 'f', wait: 'no' }, { flow_id: 'f', nodes: 1 }])(
    'refuses %j',
    async (params) => {
      expect((await failure(runStep(subFlow(), params as never))).code).toBe('invalid_params')
    },
  )
})
