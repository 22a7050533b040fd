import { describe, expect, it, vi } from 'vitest'
import { graphOf, interpret, resultOf, stepType } from './flow.fake.js'
import { FakeHost } from './host.fake.js'

const HOUR = 3_600_000

/** The next process, with the same journal and time. */
const nextProcess = (host: FakeHost) => new FakeHost({ journal: host.journal, clock: host.clock, parks: host.parks })

describe('a parked run', () => {
  const effects: string[] = []
  const effect = stepType(
    'effect',
    (_, step) => {
      effects.push(step.node)
      return { output: step.input }
    },
    { stepClass: 'effect' },
  )
  const nap = { type: 'nap', params: { ms: HOUR }, next: { default: 'end' } }
  const end = { type: 'effect' }

  it.each([
    ['first', graphOf({ nap, end })],
    ['in the middle', graphOf({ start: { type: 'effect', next: { default: 'nap' } }, nap, end })],
  ])('whose sleep is %s goes on once it is due, and does not sleep again', async (_, graph) => {
    effects.length = 0
    const host = new FakeHost({ parks: true })
    const run = { steps: [effect], input: { n: 1 } }
    expect(await interpret(graph, { ...run, host })).toEqual({ state: 'parked' })
    expect(await interpret(graph, { ...run, host: nextProcess(host) })).toEqual({ state: 'parked' })
    host.clock.advance(HOUR)
    expect(resultOf(await interpret(graph, { ...run, host: nextProcess(host) }))).toEqual({ n: 1 })
    expect(effects).toEqual(graph.nodes.has('start') ? ['start', 'end'] : ['end'])
  })

  it('waits in each of a step’s sleeps once', async () => {
    const twice = stepType('twice', async (_, step) => {
      await step.sleepUntil(new Date(step.now().getTime() + HOUR))
      await step.sleepUntil(new Date(step.now().getTime() + HOUR))
      return { output: step.now().toISOString() }
    })
    const host = new FakeHost({ parks: true })
    const graph = graphOf({ a: { type: 'twice' } })
    for (let hours = 0; hours < 2; hours++) {
      expect(await interpret(graph, { host: nextProcess(host), steps: [twice] })).toEqual({ state: 'parked' })
      host.clock.advance(HOUR)
    }
    expect(await interpret(graph, { host: nextProcess(host), steps: [twice] })).toMatchObject({ state: 'completed' })
    expect([...host.journal.timers.keys()]).toEqual(['a 1 1', 'a 1 2'])
  })

  it('goes on with the data of its signal', async () => {
    const host = new FakeHost({ parks: true })
    const graph = graphOf({ wait: { type: 'signal', params: { key: '${input.key}' } } })
    const run = { input: { key: 'order-1' } }
    expect(await interpret(graph, { ...run, host })).toEqual({ state: 'parked' })
    host.journal.signals.set('order-1', { paid: true })
    expect(resultOf(await interpret(graph, { ...run, host: nextProcess(host) }))).toEqual({ paid: true })
  })

  it('is parked between attempts, too, and has the rest of them left', async () => {
    const host = new FakeHost({ parks: true })
    const graph = graphOf({ a: { type: 'flaky', params: { failures: 1 }, retry: { maxAttempts: 2, waitMs: HOUR } } })
    expect(await interpret(graph, { host })).toEqual({ state: 'parked' })
    host.clock.advance(HOUR)
    expect(resultOf(await interpret(graph, { host: nextProcess(host) }))).toEqual({ result: 'attempt 2' })
  })

  it('says its first words once', async () => {
    const host = new FakeHost({ parks: true })
    const graph = graphOf({ start: { type: 'echo', next: { default: 'nap' } }, nap: { ...nap, next: {} } })
    await interpret(graph, { host })
    const resumed = nextProcess(host)
    await interpret(graph, { host: resumed })
    expect(host.logs()).toEqual(['Run started'])
    expect(resumed.logs()).toEqual([])
  })

  it('is parked although the step swallows what its wait throws', async () => {
    const brave = stepType('brave', async (_, step) => {
      await step.sleepUntil(new Date(step.now().getTime() + HOUR)).catch(() => {})
      return { output: 'slept well' }
    })
    const wrapping = stepType('wrapping', async (_, step) => {
      try {
        await step.waitForSignal('k')
      } catch (cause) {
        throw new Error('the wait failed', { cause })
      }
      return { output: null }
    })
    for (const type of [brave, wrapping]) {
      const host = new FakeHost({ parks: true })
      const graph = graphOf({ a: { type: type.name, retry: { maxAttempts: 3, waitMs: 1 }, next: { error: 'a' } } })
      expect(await interpret(graph, { host, steps: [type] })).toEqual({ state: 'parked' })
      expect(host.handedIn).toEqual([])
    }
  })

  it('never leaves items of a batch behind: they wait in memory', async () => {
    const host = new FakeHost({ parks: true })
    const batch = { strategy: 'parallel', maxParallel: 3 } as const
    const ending = interpret(graphOf({ a: { type: 'nap', params: { ms: HOUR }, batch } }), { host, input: [1, 2, 3] })
    await vi.waitFor(() => expect(host.clock.waiting).toBe(3))
    host.clock.advance(HOUR)
    expect(await ending).toMatchObject({ state: 'completed' })
  })
})
