import { expect, it } from 'vitest'
import { graphOf, interpret, resultOf, stepType } from './flow.fake.js'
import { FakeHost } from './host.fake.js'
import { type TracedStep } from './host.js'

const telling = stepType('telling', (_, step) => {
  if (step.attempt === 1) throw new Error('once more')
  return { output: step.traceHeaders?.()?.traceparent ?? 'not traced' }
})
const graph = graphOf({ tell: { type: 'telling', retry: { maxAttempts: 2, waitMs: 0 } } })

it('an attempt learns from the host which trace it belongs to', async () => {
  class TracingHost extends FakeHost {
    readonly asked: TracedStep[] = []

    traceHeaders(step: TracedStep) {
      this.asked.push(step)
      return { traceparent: `${step.path} ${step.attempt}` }
    }
  }
  const host = new TracingHost()
  expect(resultOf(await interpret(graph, { host, steps: [telling] }))).toEqual({ result: 'tell 2' })
  const outcome = host.journal.outcomes.at(-1)
  expect(host.asked).toEqual([
    { path: 'tell', attempt: 2, node: 'tell', nodeType: 'telling', startedAt: outcome?.startedAt },
  ])
})

it('a host need not trace', async () => {
  expect(resultOf(await interpret(graph, { steps: [telling] }))).toEqual({ result: 'not traced' })
})
