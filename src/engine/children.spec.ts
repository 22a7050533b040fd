import { describe, expect, it } from 'vitest'
import { graphOf, interpret, resultOf, stepType } from './flow.fake.js'
import { FakeHost } from './host.fake.js'
import { StepError } from './step.js'

const call = stepType(
  'call',
  async (params, step) => {
    const started = await step.startChild({ flowId: String(params.flow), input: step.input, awaited: true })
    if ('refusal' in started) throw new StepError(started.refusal.message, started.refusal)
    const end = await step.childEnd(started.id)
    if (end.state !== 'completed') throw new StepError(`it ended ${end.state}`)
    return { output: end.result }
  },
  { stepClass: 'effect' },
)
const steps = [call]
const nextProcess = (host: FakeHost) => new FakeHost({ journal: host.journal, clock: host.clock, parks: true })

function end(host: FakeHost, index: number, result: object): void {
  const child = host.journal.children[index]
  if (!child) throw new Error(`no child ${index}`)
  child.end = { state: 'completed', result: result as never }
}

describe('a step that starts a child', () => {
  it('is parked until the child has ended, and finds the same child', async () => {
    const host = new FakeHost()
    const graph = graphOf({
      call: { type: 'call', params: { flow: 'f' }, next: { default: 'last' } },
      last: { type: 'echo' },
    })
    expect(await interpret(graph, { host, steps })).toEqual({ state: 'parked' })
    expect(await interpret(graph, { host: nextProcess(host), steps })).toEqual({ state: 'parked' })
    end(host, 0, { ok: true })
    expect(resultOf(await interpret(graph, { host: nextProcess(host), steps }))).toEqual({ ok: true })
    expect(host.journal.children).toMatchObject([{ path: 'call', attempt: 1 }])
  })

  it('starts another one for its next attempt', async () => {
    const host = new FakeHost()
    const graph = graphOf({ call: { type: 'call', params: { flow: 'f' }, retry: { maxAttempts: 2, waitMs: 0 } } })
    expect(await interpret(graph, { host, steps })).toEqual({ state: 'parked' })
    const [first] = host.journal.children
    if (first) first.end = { state: 'failed', error: { message: 'no' } }
    expect(await interpret(graph, { host: nextProcess(host), steps })).toEqual({ state: 'parked' })
    expect(host.journal.children.map(({ attempt }) => attempt)).toEqual([1, 2])
  })
})

it('a child has the time that it is given from its start, over all processes that wait for it', async () => {
  const host = new FakeHost()
  const inTime = stepType(
    'in_time',
    async (_, step) => {
      const started = await step.startChild({ flowId: 'f', input: null, awaited: true })
      return { output: 'id' in started ? (await step.childEnd(started.id, 5_000)).state : null }
    },
    { stepClass: 'effect' },
  )
  const graph = graphOf({ call: { type: 'in_time' } })
  expect(await interpret(graph, { host, steps: [inTime] })).toEqual({ state: 'parked' })
  host.clock.advance(4_999)
  expect(await interpret(graph, { host: nextProcess(host), steps: [inTime] })).toEqual({ state: 'parked' })
  host.clock.advance(1)
  expect(resultOf(await interpret(graph, { host: nextProcess(host), steps: [inTime] }))).toEqual({ result: 'overdue' })
})

describe('a batch whose items wait for children', () => {
  const batch = (maxParallel: number, strategy: 'parallel' | 'serial' = 'parallel') =>
    graphOf({ call: { type: 'call', params: { flow: 'f', items: [0, 1, 2, 3, 4] }, batch: { strategy, maxParallel } } })

  it.each([
    ['parallel', 2],
    ['serial', 1],
  ] as const)('is unloaded while all of them wait, %s, and never has more than asked for', async (strategy, most) => {
    const host = new FakeHost()
    const graph = batch(2, strategy)
    let ending = await interpret(graph, { host, steps })
    for (let done = 0; done < 5; done++) {
      expect(ending).toEqual({ state: 'parked' })
      const live = host.journal.children.filter(({ end }) => !end)
      expect(live).toHaveLength(Math.min(most, 5 - done))
      const last = host.journal.children.lastIndexOf(live.at(-1) as never)
      end(host, last, { item: Number(host.journal.children[last]?.input) })
      ending = await interpret(graph, { host: nextProcess(host), steps })
    }
    expect(resultOf(ending)).toEqual({ result: [0, 1, 2, 3, 4].map((item) => ({ item })) })
    expect(host.journal.children).toHaveLength(5)
  })

  it('fails with the first child that does, whatever the others wait for', async () => {
    const host = new FakeHost()
    const graph = batch(3)
    expect(await interpret(graph, { host, steps })).toEqual({ state: 'parked' })
    const child = host.journal.children[1]
    if (child) child.end = { state: 'failed', error: { message: 'no' } }
    expect(await interpret(graph, { host: nextProcess(host), steps })).toMatchObject({
      state: 'failed',
      error: { message: 'it ended failed' },
    })
    expect(host.journal.paths()).toEqual(['call[1]', 'call'])
  })
})
