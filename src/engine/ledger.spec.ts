import { describe, expect, it, vi } from 'vitest'
import { graphOf, interpret, Later, stepType } from './flow.fake.js'
import { FakeHost } from './host.fake.js'
import type { StepClass } from './step.js'

/** Two steps in a row; tells which were started. */
function twoSteps(second: StepClass) {
  const started: string[] = []
  const noting = (stepClass: StepClass) =>
    stepType(
      `noting ${stepClass}`,
      (_, step) => {
        started.push(step.node)
        return { output: step.node }
      },
      { stepClass },
    )
  const graph = graphOf({
    one: { type: 'noting effect', next: { default: 'two' } },
    two: { type: `noting ${second}` },
  })
  return { graph, started, steps: [...new Set<StepClass>(['effect', second])].map(noting) }
}

describe('durability', () => {
  it('of what was done comes before a step with an outside effect starts', async () => {
    const { graph, started, steps } = twoSteps('effect')
    const host = new FakeHost()
    host.hold()
    const ending = interpret(graph, { host, steps })
    await vi.waitFor(() => expect(host.handedIn).toHaveLength(1))
    await new Promise(setImmediate)
    expect(started).toEqual(['one'])
    host.letGo()
    expect(await ending).toMatchObject({ state: 'completed' })
    expect(started).toEqual(['one', 'two'])
  })

  it('is not waited for by a pure step, but by the end of the run and its last words', async () => {
    const { graph, started, steps } = twoSteps('pure')
    const host = new FakeHost()
    host.hold()
    let ended = false
    const ending = interpret(graph, { host, steps }).finally(() => {
      ended = true
    })
    await vi.waitFor(() => expect(host.handedIn).toHaveLength(2))
    await new Promise(setImmediate)
    expect([started, ended, host.logs()]).toEqual([['one', 'two'], false, ['Run started']])
    host.letGo()
    expect(await ending).toMatchObject({ state: 'completed' })
    expect(host.logs()).toEqual(['Run started', 'Run completed'])
  })

  it('comes before the next attempt of an effect', async () => {
    const host = new FakeHost()
    host.clock.hurrying = true
    host.hold()
    const graph = graphOf({ a: { type: 'flaky', params: { failures: 1 }, retry: { maxAttempts: 2, waitMs: 1 } } })
    const ending = interpret(graph, { host })
    await vi.waitFor(() => expect(host.handedIn).toHaveLength(1))
    await vi.waitFor(() => expect(host.clock.waiting).toBe(0))
    await new Promise(setImmediate)
    expect(host.handedIn).toHaveLength(1)
    host.letGo()
    expect(await ending).toMatchObject({ state: 'completed' })
  })

  it('comes before the run is parked', async () => {
    const host = new FakeHost({ parks: true })
    host.hold()
    let parked = false
    const graph = graphOf({ a: { type: 'echo', next: { default: 'b' } }, b: { type: 'nap', params: { ms: 9_000 } } })
    const ending = interpret(graph, { host }).finally(() => {
      parked = true
    })
    await vi.waitFor(() => expect(host.journal.timers.size).toBe(1))
    await new Promise(setImmediate)
    expect(parked).toBe(false)
    host.letGo()
    expect(await ending).toEqual({ state: 'parked' })
  })
})

describe('a claim that is over', () => {
  class Lost extends Error {}
  const graph = graphOf({
    one: { type: 'echo', next: { default: 'send' } },
    send: { type: 'send', retry: { maxAttempts: 3, waitMs: 0 }, next: { error: 'after', default: 'after' } },
    after: { type: 'echo' },
  })

  it('lets no step with an effect begin, though everything before it is durable', async () => {
    const host = new FakeHost()
    const sent: string[] = []
    const send = stepType('send', (_, step) => ({ output: sent.push(step.node) }), { stepClass: 'effect' })
    host.broken.checkClaim = new Lost()
    await expect(interpret(graph, { host, steps: [send] })).rejects.toThrow(Lost)
    expect(sent).toEqual([])
    expect(host.handedIn.map(({ path }) => path)).toEqual(['one'])
  })

  it('is no failure of a step that finds out as it sends, whatever it makes of that', async () => {
    const host = new FakeHost()
    const send = stepType('send', (_, step) => {
      host.broken.checkClaim = new Lost()
      try {
        step.checkClaim()
      } catch {
        throw new Error('network error')
      }
      return { output: null }
    })
    await expect(interpret(graph, { host, steps: [send] })).rejects.toThrow(Lost)
    expect(host.handedIn.map(({ path }) => path)).toEqual(['one'])
  })
})

describe('a refused outcome', () => {
  class Fenced extends Error {}
  const fencedAt = (path: string) => (outcome: { path: string }) =>
    outcome.path === path ? new Fenced(path) : undefined

  it('ends the interpretation: it rejects, the step in flight is stopped, nothing further starts or is recorded', async () => {
    const host = new FakeHost()
    host.refuse = fencedAt('one')
    const stopped = new Later<string>()
    const started: string[] = []
    const noticing = stepType('noticing', async (_, step) => {
      started.push(step.node)
      return await new Promise((_, reject) =>
        step.signal.addEventListener('abort', () => {
          stopped.resolve(step.node)
          reject(new Error('stopped'))
        }),
      )
    })
    const graph = graphOf({
      one: { type: 'echo', next: { default: 'two' } },
      two: { type: 'noticing', next: { error: 'three', default: 'three' } },
      three: { type: 'noticing' },
    })
    host.hold()
    const ending = interpret(graph, { host, steps: [noticing] })
    await vi.waitFor(() => expect(started).toEqual(['two']))
    host.letGo()
    await expect(ending).rejects.toThrow(Fenced)
    expect(await stopped.promise).toBe('two')
    expect(started).toEqual(['two'])
    expect(host.handedIn.map((outcome) => outcome.path)).toEqual(['one'])
    expect(host.logs()).toEqual(['Run started'])
  })

  it.each(['a', 'each[]', 'each[1]', 'each', 'retry', 'last'])('is met wherever it is: %s', async (path) => {
    const host = new FakeHost()
    host.clock.hurrying = true
    host.refuse = fencedAt(path)
    const graph = graphOf({
      a: { type: 'echo', next: { default: 'each' } },
      each: {
        type: 'flaky',
        params: { items: '${[0, 0, 0].slice(0)}', failures: 0 },
        batch: { strategy: 'parallel', maxParallel: 2 },
        next: { default: 'retry' },
      },
      retry: {
        type: 'flaky',
        params: { failures: 1 },
        retry: { maxAttempts: 2, waitMs: 5 },
        next: { default: 'last' },
      },
      last: { type: 'echo' },
    })
    await expect(interpret(graph, { host })).rejects.toThrow(path)
    expect(host.journal.paths()).not.toContain('last')
  })

  it('of a run that does not wait stops it all the same', async () => {
    const host = new FakeHost()
    host.refuse = fencedAt('a#7')
    const endless = graphOf({ a: { type: 'echo', next: { default: 'a' } } })
    await expect(interpret(endless, { host })).rejects.toThrow(Fenced)
    expect(host.handedIn.length).toBeLessThan(1_000)
  })
})
