import { describe, expect, it, vi } from 'vitest'
import { interpret, Later, stepType } from './flow.fake.js'
import type { Graph, GraphNode } from './graph.js'
import { FakeHost, FakeJournal } from './host.fake.js'
import { walkOf } from './walk.js'

type Branch = Partial<Omit<GraphNode, 'name'>>

/** One stage of these branches, and a node behind it. */
function dag(branches: Record<string, Branch>, rest: Partial<GraphNode> = {}): Graph {
  const nodes = Object.entries(branches).map(
    ([name, node]) => ({ type: 'echo', params: {}, ...node, name, next: {} }) as GraphNode,
  )
  const stage = { name: '#0', type: 'stage', params: {}, next: { default: 'last' }, branches: nodes, ...rest }
  const last = { name: 'last', type: 'echo', params: {}, next: {} }
  return {
    start: '#0',
    nodes: new Map<string, GraphNode>([
      ['#0', stage],
      ['last', last],
    ]),
  }
}

/** Steps that tell when they begin, and end when they are told to. */
class Gated {
  readonly began: string[] = []
  private readonly gates = new Map<string, Later<unknown>>()
  readonly type = stepType('gated', async (_, step) => {
    this.began.push(step.node)
    const gate = new Later<unknown>()
    this.gates.set(step.node, gate)
    return { output: (await Promise.race([gate.promise, aborted(step.signal)])) as string }
  })

  end(name: string): void {
    this.gates.get(name)?.resolve(name)
  }

  fail(name: string): void {
    this.gates.get(name)?.reject(new Error(`${name} failed`))
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}

const gated = (needs?: string[], rest: Branch = {}): Branch => ({ type: 'gated', ...(needs && { needs }), ...rest })

describe('a branch that needs others', () => {
  it('begins once they are settled, beside those that do not wait for them', async () => {
    const steps = new Gated()
    const graph = dag({ a: gated(), b: gated(), c: gated(['a']), d: gated(['b', 'c']) })
    const ending = interpret(graph, { steps: [steps.type] })
    await vi.waitFor(() => expect(steps.began).toEqual(['a', 'b']))
    steps.end('a')
    await vi.waitFor(() => expect(steps.began).toEqual(['a', 'b', 'c']))
    steps.end('c')
    steps.end('b')
    await vi.waitFor(() => expect(steps.began).toEqual(['a', 'b', 'c', 'd']))
    steps.end('d')
    expect(await ending).toMatchObject({ state: 'completed', result: { a: 'a', b: 'b', c: 'c', d: 'd' } })
  })

  it('may be declared before them', async () => {
    const host = new FakeHost()
    expect(await interpret(dag({ c: { needs: ['b'] }, b: { needs: ['a'] }, a: {} }), { host })).toMatchObject({
      state: 'completed',
    })
    expect(host.journal.paths()).toEqual(['a', 'b', 'c', 'last'])
  })

  it('sees what they put out and what those go back to, and nothing of its other neighbours', async () => {
    const seen: Record<string, unknown> = {}
    const look = stepType('look', async (_, step) => {
      const { results, input } = await step.variables()
      seen[step.node] = { results: Object.keys(results as object), input }
      return { output: step.node.toUpperCase() }
    })
    const type = 'look'
    const graph = dag({ a: { type }, b: { type }, c: { type, needs: ['a'] }, d: { type, needs: ['c', 'b'] } })
    await interpret(graph, { steps: [look], input: 'in' })
    expect(seen).toEqual({
      a: { results: [], input: 'in' },
      b: { results: [], input: 'in' },
      c: { results: ['a'], input: 'A' },
      d: { results: ['a', 'b', 'c'], input: { b: 'B', c: 'C' } },
    })
  })

  it('is skipped where one of them fails, and so is what needs it; the others come to their end', async () => {
    const host = new FakeHost()
    const graph = dag({
      bad: { type: 'fail', params: { message: 'bad' } },
      a: { needs: ['bad'] },
      b: { needs: ['a'] },
      fine: {},
      after: { needs: ['fine'] },
    })
    expect(await interpret(graph, { host })).toMatchObject({ state: 'failed', error: { message: 'bad', node: 'bad' } })
    const settled = host.journal.outcomes.map(({ path, state, action }) => [path, state, action])
    expect(settled.sort()).toEqual([
      ['a', 'succeeded', 'skipped'],
      ['after', 'succeeded', undefined],
      ['b', 'succeeded', 'skipped'],
      ['bad', 'failed', undefined],
      ['fine', 'succeeded', undefined],
    ])
    const told = host.events.flatMap((event) => (event.type === 'node_completed' ? [[event.node, event.state]] : []))
    expect(told).toEqual(
      expect.arrayContaining([
        ['a', 'skipped'],
        ['b', 'skipped'],
      ]),
    )
    expect(host.events).not.toContainEqual(expect.objectContaining({ type: 'node_started', node: 'a' }))
  })

  it('begins though one of them failed, where that failure is to be continued from', async () => {
    const graph = dag({
      bad: { type: 'fail', onError: 'continue' },
      nothing: { type: 'fail', onError: 'skip' },
      a: { needs: ['bad', 'nothing'], params: { value: 'done' } },
    })
    expect(await interpret(graph, {})).toMatchObject({ state: 'completed', result: { a: 'done' } })
  })

  it('fails the run with the first failure by the order of their declaration', async () => {
    const graph = dag({
      late: { type: 'fail', params: { message: 'late' }, needs: ['first'] },
      first: {},
      early: { type: 'fail', params: { message: 'early' } },
    })
    expect(await interpret(graph, {})).toMatchObject({ state: 'failed', error: { message: 'late' } })
  })

  it.each([
    ['one another', { a: { needs: ['b'] }, b: { needs: ['a'] } }],
    ['what is not there', { a: { needs: ['nowhere'] }, b: {} }],
  ])('fails where they need %s', async (_, branches) => {
    expect(await interpret(dag(branches), {})).toMatchObject({ state: 'failed', error: { code: 'unmet_need' } })
  })
})

describe('a cap on branches', () => {
  it('holds, and the next by declaration comes first', async () => {
    const steps = new Gated()
    const graph = dag({ a: gated(), b: gated(), c: gated(), d: gated(['a']) }, { maxParallel: 2 })
    const ending = interpret(graph, { steps: [steps.type] })
    await vi.waitFor(() => expect(steps.began).toEqual(['a', 'b']))
    steps.end('b')
    await vi.waitFor(() => expect(steps.began).toEqual(['a', 'b', 'c']))
    steps.end('a')
    await vi.waitFor(() => expect(steps.began).toEqual(['a', 'b', 'c', 'd']))
    steps.end('c')
    steps.end('d')
    expect(await ending).toMatchObject({ state: 'completed' })
  })

  it('is not used up by what waits outside memory', async () => {
    const journal = new FakeJournal()
    const graph = dag(
      { nap: { type: 'nap', params: { ms: 60_000 } }, after: { needs: ['nap'] }, other: {} },
      { maxParallel: 1 },
    )
    const host = new FakeHost({ journal, parks: true })
    expect(await interpret(graph, { host })).toEqual({ state: 'parked' })
    expect(journal.paths()).toEqual(['other'])
    host.clock.advance(60_000)
    const later = new FakeHost({ journal, parks: true, clock: host.clock })
    expect(await interpret(graph, { host: later })).toMatchObject({ state: 'completed' })
    expect(journal.paths()).toEqual(['other', 'nap', 'after', 'last'])
  })
})

describe('a run that is stopped', () => {
  it('begins no branch any more', async () => {
    const steps = new Gated()
    const host = new FakeHost()
    const stop = new AbortController()
    const graph = dag({ a: gated(), b: gated(), c: gated(['a']) }, { maxParallel: 2 })
    const ending = interpret(graph, { host, steps: [steps.type], signal: stop.signal })
    await vi.waitFor(() => expect(steps.began).toEqual(['a', 'b']))
    stop.abort()
    expect(await ending).toEqual({ state: 'cancelled' })
    expect(steps.began).toEqual(['a', 'b'])
    expect(host.journal.outcomes).toEqual([])
  })

  it('whose journal refuses an outcome begins none either', async () => {
    const steps = new Gated()
    const host = new FakeHost()
    host.refuse = () => new Error('fenced')
    const graph = dag({ a: gated(), b: gated(['a'], { type: 'flaky' }) })
    const ending = interpret(graph, { host, steps: [steps.type] })
    await vi.waitFor(() => expect(steps.began).toEqual(['a']))
    steps.end('a')
    await expect(ending).rejects.toThrow('fenced')
    expect(host.journal.outcomes).toEqual([])
  })
})

describe('the walk', () => {
  it('has each visit behind what it needs, and knows which were skipped because of another', async () => {
    const host = new FakeHost()
    const graph = dag({ d: { needs: ['c'] }, c: { needs: ['bad'] }, bad: { type: 'fail' }, fine: {} })
    await interpret(graph, { host })
    const walk = walkOf(graph, undefined, new Map(host.journal.outcomes.map((outcome) => [outcome.path, outcome])))
    expect(walk.map(({ path, outcome, blocked }) => [path, outcome?.state, blocked])).toEqual([
      ['bad', 'failed', undefined],
      ['c', 'succeeded', true],
      ['d', 'succeeded', true],
      ['fine', 'succeeded', undefined],
    ])
  })
})

/** A random number generator that says the same for the same seed. */
function dice(seed: number): (sides: number) => number {
  let state = seed
  return (sides) => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32
    return Math.floor((state / 2 ** 32) * sides)
  }
}

interface Drawn {
  name: string
  needs: string[]
  fails: boolean
  onError?: 'continue' | 'skip'
}

/** What a stage comes to, as one would say it: a step at a time, in an order of needs. */
function told(drawn: readonly Drawn[]): Record<string, 'succeeded' | 'failed' | 'skipped'> {
  const states: Record<string, 'succeeded' | 'failed' | 'skipped'> = {}
  const hinders = new Set<string>()
  while (Object.keys(states).length < drawn.length)
    for (const { name, needs, fails, onError } of drawn) {
      if (name in states || needs.some((need) => !(need in states))) continue
      const blocked = needs.some((need) => hinders.has(need))
      states[name] = blocked || (fails && onError === 'skip') ? 'skipped' : fails ? 'failed' : 'succeeded'
      if (blocked || (fails && !onError)) hinders.add(name)
    }
  return states
}

describe('stages drawn at random', () => {
  const seeds = Array.from({ length: 60 }, (_, seed) => seed + 1)

  it.each(seeds)('come to what a simple model says, from wherever they are taken up (seed %i)', async (seed) => {
    const roll = dice(seed * 7919)
    const size = 2 + roll(9)
    const order = Array.from({ length: size }, (_, at) => at).sort(() => roll(3) - 1)
    const drawn: Drawn[] = Array.from({ length: size }, (_, at) => {
      const before = order.slice(0, order.indexOf(at))
      const needs = before.filter(() => roll(3) === 0).map((other) => `n${other}`)
      const onError = ([undefined, undefined, 'continue', 'skip'] as const)[roll(4)]
      return { name: `n${at}`, needs, fails: roll(4) === 0, onError }
    })
    const maxParallel = roll(2) ? 1 + roll(3) : undefined
    let atWork = 0
    let most = 0
    const done = new Set<string>()
    const tooEarly: string[] = []
    const work = stepType(
      'work',
      async (params, step) => {
        most = Math.max(most, ++atWork)
        const { needs } = drawn.find(({ name }) => name === step.node) as Drawn
        if (needs.some((need) => !done.has(need))) tooEarly.push(step.node)
        for (let turns = roll(4); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
        atWork--
        done.add(step.node)
        if (params.fails) throw new Error(`${step.node} failed`)
        return { output: step.node }
      },
      { stepClass: 'effect' },
    )
    const branches = Object.fromEntries(
      drawn.map(({ name, needs, fails, onError }) => [name, { type: 'work', needs, params: { fails }, onError }]),
    )
    const graph = dag(branches, { maxParallel })
    const expected = told(drawn)
    const failure = drawn.find(({ name, onError }) => expected[name] === 'failed' && !onError)
    const ending = failure
      ? { state: 'failed', error: { node: failure.name } }
      : {
          state: 'completed',
          result: Object.fromEntries(drawn.map(({ name }) => [name, expected[name] === 'succeeded' ? name : null])),
        }

    const first = new FakeHost()
    expect(await interpret(graph, { host: first, steps: [work] })).toMatchObject(ending)
    expect(statesOf(first)).toEqual(expected)
    expect(tooEarly).toEqual([])
    expect(most).toBeLessThanOrEqual(maxParallel ?? size)
    for (let kept = 0; kept < first.journal.outcomes.length; kept++) {
      const again = new FakeHost({ journal: first.journal.first(kept) })
      for (const name of [...done]) if (!again.journal.paths().includes(name)) done.delete(name)
      const before = again.journal.outcomes.length
      expect(await interpret(graph, { host: again, steps: [work] })).toMatchObject(ending)
      expect(statesOf(again)).toEqual(expected)
      expect(again.handedIn).toHaveLength(first.journal.outcomes.length - before)
    }
    expect(tooEarly).toEqual([])
  })

  function statesOf({ journal }: FakeHost): Record<string, string> {
    return Object.fromEntries(
      journal.outcomes
        .filter(({ path }) => path !== 'last')
        .map(({ path, state, action }) => [path, action === 'skipped' ? 'skipped' : state]),
    )
  }
})
