import { describe, expect, it, vi } from 'vitest'
import { type FakeNode, interpret, stepType } from './flow.fake.js'
import type { Graph, GraphNode } from './graph.js'
import { FakeHost, FakeJournal } from './host.fake.js'
import { StepError } from './step.js'
import { walkOf } from './walk.js'

/** Stages one after another, each of nodes side by side. */
function staged(stages: readonly Record<string, FakeNode & Partial<GraphNode>>[], settings?: Graph['settings']): Graph {
  const nodes = new Map<string, GraphNode>()
  const names = stages.map((stage, at) =>
    Object.keys(stage).length === 1 ? (Object.keys(stage)[0] as string) : `#${at}`,
  )
  for (const [at, stage] of stages.entries()) {
    const name = names[at] as string
    const next: Record<string, string> = at + 1 < names.length ? { default: names[at + 1] as string } : {}
    const branches = Object.entries(stage).map(([name, node]) => ({ name, params: {}, ...node, next: {} }) as GraphNode)
    nodes.set(
      name,
      branches.length === 1
        ? ({ ...branches[0], next } as GraphNode)
        : { name, type: 'stage', params: {}, next, branches },
    )
  }
  return { start: names[0] as string, nodes, settings }
}

const slow = stepType('slow', async (params, step) => {
  await step.sleepUntil(new Date(step.now().getTime() + Number(params.ms)))
  return { output: params.ms ?? null }
})

describe('nodes side by side', () => {
  it('begin together, and the way goes on once all of them are settled', async () => {
    const host = new FakeHost()
    const graph = staged([
      { one: { type: 'slow', params: { ms: 300 } }, two: { type: 'slow', params: { ms: 100 } } },
      { last: { type: 'echo' } },
    ])
    const ending = interpret(graph, { host, steps: [slow] })
    await vi.waitFor(() => expect(host.clock.waiting).toBe(2))
    host.clock.advance(100)
    await vi.waitFor(() => expect(host.journal.paths()).toEqual(['two']))
    host.clock.advance(200)
    expect(await ending).toMatchObject({ state: 'completed', result: { one: 300, two: 100 } })
    expect(host.journal.paths()).toEqual(['two', 'one', 'last'])
  })

  it('do not see what their neighbours put out, and those behind see all of it', async () => {
    const seen: Record<string, unknown> = {}
    const look = stepType('look', (_, step) => {
      seen[step.node] = step.input
      return { output: step.node }
    })
    await interpret(
      staged([{ first: { type: 'look' } }, { a: { type: 'look' }, b: { type: 'look' } }, { last: { type: 'look' } }]),
      { steps: [look], input: 'in' },
    )
    expect(seen).toEqual({ first: 'in', a: 'first', b: 'first', last: { a: 'a', b: 'b' } })
  })

  it('come to their end though one of them fails; the first failure by their order is that of the run', async () => {
    const host = new FakeHost()
    host.clock.hurrying = true
    const graph = staged([
      {
        good: { type: 'slow', params: { ms: 500 } },
        bad: { type: 'fail', params: { message: 'bad' } },
        worse: { type: 'fail', params: { message: 'worse' } },
      },
      { never: { type: 'echo' } },
    ])
    const ending = await interpret(graph, { host, steps: [slow] })
    expect(ending).toMatchObject({ state: 'failed', error: { message: 'bad', node: 'bad' } })
    expect(host.journal.paths('succeeded')).toEqual(['good'])
    expect(host.journal.paths('failed')).toEqual(['bad', 'worse'])
  })

  it('are not done again after a crash in their middle', async () => {
    const graph = staged([
      { a: { type: 'count' }, b: { type: 'count' }, c: { type: 'count' } },
      { d: { type: 'count' } },
    ])
    let counted: string[] = []
    const count = stepType('count', (_, step) => ({ output: counted.push(step.node) }), { stepClass: 'effect' })
    const host = new FakeHost()
    await interpret(graph, { host, steps: [count] })
    expect(counted).toHaveLength(4)
    for (let done = 0; done <= 4; done++) {
      counted = []
      const again = new FakeHost({ journal: host.journal.first(done) })
      expect(await interpret(graph, { host: again, steps: [count] })).toMatchObject({ state: 'completed' })
      expect(counted).toHaveLength(4 - done)
      expect(again.journal.paths().sort()).toEqual(['a', 'b', 'c', 'd'])
    }
  })

  it('wait outside memory only once no other of them is at work, and for the earliest time', async () => {
    const host = new FakeHost({ parks: true })
    const work = stepType('work', async (_, step) => {
      await new Promise((resolve) => setImmediate(resolve))
      return { output: step.node }
    })
    const graph = staged([{ nap: { type: 'nap', params: { ms: 60_000 } }, work: { type: 'work' } }])
    expect(await interpret(graph, { host, steps: [work] })).toEqual({ state: 'parked' })
    expect(host.journal.paths()).toEqual(['work'])
  })

  it('fail a run at once where others only wait outside memory', async () => {
    const host = new FakeHost({ parks: true })
    const graph = staged([{ nap: { type: 'nap', params: { ms: 60_000 } }, bad: { type: 'fail' } }])
    expect(await interpret(graph, { host })).toMatchObject({ state: 'failed', error: { node: 'bad' } })
  })

  it('are visits of one walk, which leads on together', async () => {
    const host = new FakeHost()
    const graph = staged([
      { a: { type: 'echo' }, b: { type: 'fail', onError: 'continue' } },
      { c: { type: 'echo' }, d: { type: 'fail' } },
    ])
    await interpret(graph, { host })
    const walk = walkOf(graph, undefined, new Map(host.journal.outcomes.map((outcome) => [outcome.path, outcome])))
    expect(walk.map(({ path, leadsOn, outcome }) => [path, outcome?.state, leadsOn])).toEqual([
      ['a', 'succeeded', true],
      ['b', 'failed', true],
      ['c', 'succeeded', false],
      ['d', 'failed', false],
    ])
  })
})

describe('a failure', () => {
  it('that is to be continued from is recorded, and the way goes on', async () => {
    const host = new FakeHost()
    const ending = await interpret(
      staged([{ a: { type: 'fail', onError: 'continue', params: { message: 'oh' } } }, { b: { type: 'echo' } }]),
      { host },
    )
    expect(ending).toMatchObject({ state: 'completed', result: { result: null } })
    expect(host.journal.outcomes).toMatchObject([
      { path: 'a', state: 'failed' },
      { path: 'b', state: 'succeeded' },
    ])
    expect(host.events).toContainEqual(expect.objectContaining({ type: 'node_failed', node: 'a', message: 'oh' }))
  })

  it('that counts for nothing is recorded as skipped, with what went wrong', async () => {
    const host = new FakeHost()
    const ending = await interpret(staged([{ a: { type: 'fail', onError: 'skip', params: { message: 'oh' } } }]), {
      host,
    })
    expect(ending.state).toBe('completed')
    expect(host.journal.outcomes).toMatchObject([
      { path: 'a', state: 'succeeded', action: 'skipped', error: { message: 'oh' } },
    ])
    expect(host.events).toContainEqual(expect.objectContaining({ type: 'node_completed', state: 'skipped' }))
  })

  it('starts the flow for failures once, with the failed run’s context', async () => {
    const journal = new FakeJournal()
    const graph = staged([{ a: { type: 'fail', params: { message: 'oh' } } }], { onFailFlowId: 'flow_rescue' })
    for (const _ of [1, 2]) {
      const host = new FakeHost({ journal })
      expect(await interpret(graph, { host, input: { order: 7 } })).toMatchObject({ state: 'failed' })
    }
    expect(journal.children).toHaveLength(1)
    expect(journal.children[0]).toMatchObject({
      flowId: 'flow_rescue',
      awaited: false,
      input: { input: { order: 7 }, error: { message: 'oh', node: 'a' } },
    })
  })
})

describe('a condition', () => {
  const onlyIf = (holds: boolean) => ({ condition: { params: { left: 1 }, holds: () => holds } })

  it('that does not hold settles its node without work or output', async () => {
    const host = new FakeHost()
    const ran: string[] = []
    const work = stepType('work', (_, step) => ({ output: ran.push(step.node) }))
    const graph = staged([
      { no: { type: 'work', ...onlyIf(false) }, yes: { type: 'work', ...onlyIf(true) } },
      { last: { type: 'echo' } },
    ])
    expect(await interpret(graph, { host, steps: [work] })).toMatchObject({ result: { no: null, yes: 1 } })
    expect(ran).toEqual(['yes'])
    expect(host.events).toContainEqual(
      expect.objectContaining({ type: 'node_completed', node: 'no', state: 'filtered' }),
    )
  })

  it('that cannot be decided is a failure of its node', async () => {
    const broken = {
      condition: {
        params: {},
        holds: () => {
          throw new StepError('not comparable', { code: 'filter' })
        },
      },
    }
    expect(await interpret(staged([{ a: { type: 'echo', ...broken } }]), {})).toMatchObject({
      state: 'failed',
      error: { message: 'not comparable', code: 'filter' },
    })
  })
})

describe('an approval', () => {
  const approval = { approvers: [], onDecline: 'fail' as const }

  it('lets the work begin, and is waited for outside memory', async () => {
    const journal = new FakeJournal()
    const graph = staged([{ a: { type: 'echo', params: { value: 'done' }, approval } }])
    const host = new FakeHost({ journal, parks: true })
    expect(await interpret(graph, { host })).toEqual({ state: 'parked' })
    expect(host.events).toContainEqual(expect.objectContaining({ type: 'node_waiting', node: 'a', path: 'a' }))
    const later = new FakeHost({ journal, parks: true })
    later.decisions.set('a', { approved: true, by: 'x@example.com' })
    expect(await interpret(graph, { host: later })).toMatchObject({ state: 'completed', result: { result: 'done' } })
  })

  it.each([
    [
      'fail',
      { approved: false, by: 'x@example.com', note: 'no' },
      { state: 'failed', error: { message: 'declined by x@example.com: no', code: 'declined' } },
    ],
    ['fail', { approved: false }, { state: 'failed', error: { code: 'approval_timeout' } }],
    ['skip', { approved: false, by: 'x@example.com' }, { state: 'completed' }],
  ] as const)('that is declined comes to %s', async (onDecline, decision, ending) => {
    const host = new FakeHost()
    host.decisions.set('a', decision)
    expect(
      await interpret(staged([{ a: { type: 'echo', approval: { ...approval, onDecline } } }]), { host }),
    ).toMatchObject(ending)
  })
})

describe('a loop', () => {
  const body = (graph: Graph, rest: Partial<GraphNode['loop']> = {}) => ({
    loop: { body: graph, collect: ['twice'], maxParallel: 1, ...rest },
  })
  const double = stepType('double', (_, step) => {
    const { item } = step.input as { item: number }
    return { output: item * 2 }
  })
  const inner = staged([{ twice: { type: 'double' } }, { after: { type: 'echo' } }])

  it('walks its body for each item, and collects what is asked for', async () => {
    const host = new FakeHost()
    const graph = staged([
      { each: { type: 'echo', params: { items: [1, 2, 3] }, ...body(inner) } },
      { last: { type: 'echo' } },
    ])
    const ending = await interpret(graph, { host, steps: [double] })
    expect(ending).toMatchObject({ state: 'completed', result: { total: 3, outputs: { twice: [2, 4, 6] } } })
    expect(host.journal.paths()).toEqual([
      'each[0].twice',
      'each[0].after',
      'each[0]',
      'each[1].twice',
      'each[1].after',
      'each[1]',
      'each[2].twice',
      'each[2].after',
      'each[2]',
      'each',
      'last',
    ])
  })

  it('goes on in the middle of a round after a crash', async () => {
    const graph = staged([{ each: { type: 'echo', params: { items: [1, 2] }, ...body(inner) } }])
    const host = new FakeHost()
    await interpret(graph, { host, steps: [double] })
    const { length } = host.journal.outcomes
    for (let done = 0; done <= length; done++) {
      const again = new FakeHost({ journal: host.journal.first(done) })
      expect(await interpret(graph, { host: again, steps: [double] })).toMatchObject({
        result: { outputs: { twice: [2, 4] } },
      })
      expect(again.handedIn).toHaveLength(length - done)
    }
  })

  it('takes its items in lists', async () => {
    const sum = stepType('sum', (_, step) => {
      const { item, index, total, isLast } = step.input as {
        item: number[]
        index: number
        total: number
        isLast: boolean
      }
      return { output: { sum: item.reduce((one, other) => one + other, 0), index, total, isLast } }
    })
    const graph = staged([
      {
        each: {
          type: 'echo',
          params: { items: [1, 2, 3], batchSize: 2 },
          ...body(staged([{ twice: { type: 'sum' } }])),
        },
      },
    ])
    expect(await interpret(graph, { steps: [sum] })).toMatchObject({
      result: {
        total: 2,
        outputs: {
          twice: [
            { sum: 3, index: 0, total: 2, isLast: false },
            { sum: 3, index: 1, total: 2, isLast: true },
          ],
        },
      },
    })
  })

  it('fails with the first round that does, and begins no other', async () => {
    const host = new FakeHost()
    const bad = staged([{ twice: { type: 'fail', params: { message: 'no' } } }])
    const graph = staged([{ each: { type: 'echo', params: { items: [1, 2] }, ...body(bad) } }])
    expect(await interpret(graph, { host })).toMatchObject({ state: 'failed', error: { message: 'no', node: 'twice' } })
    expect(host.journal.paths('failed')).toEqual(['each[0].twice', 'each[0]', 'each'])
  })

  it('nests', async () => {
    const pair = stepType('pair', (_, step) => ({ output: step.input }))
    const innermost = staged([{ twice: { type: 'pair' } }])
    const middle = staged([{ inner: { type: 'echo', params: { items: ['a', 'b'] }, ...body(innermost) } }])
    const graph = staged([
      { outer: { type: 'echo', params: { items: [1, 2] }, ...body(middle, { collect: ['inner'] }) } },
    ])
    const host = new FakeHost()
    expect(await interpret(graph, { host, steps: [pair] })).toMatchObject({
      result: { total: 2, outputs: { inner: [{ total: 2 }, { total: 2 }] } },
    })
    expect(host.journal.paths()).toContain('outer[1].inner[0].twice')
  })

  it('over nothing is over at once', async () => {
    const graph = staged([{ each: { type: 'echo', params: { items: [] }, ...body(inner) } }])
    expect(await interpret(graph, { steps: [double] })).toMatchObject({ result: { total: 0, outputs: { twice: [] } } })
  })

  it('waits outside memory in the middle of a round', async () => {
    const journal = new FakeJournal()
    const napping = staged([
      { nap: { type: 'nap', params: { ms: 9_000 } } },
      { twice: { type: 'echo', params: { value: 1 } } },
    ])
    const graph = staged([{ each: { type: 'echo', params: { items: [1, 2] }, ...body(napping) } }])
    const host = new FakeHost({ journal, parks: true })
    expect(await interpret(graph, { host })).toEqual({ state: 'parked' })
    host.clock.advance(9_000)
    const second = new FakeHost({ journal, parks: true, clock: host.clock })
    expect(await interpret(graph, { host: second })).toEqual({ state: 'parked' })
    host.clock.advance(9_000)
    const third = new FakeHost({ journal, parks: true, clock: host.clock })
    expect(await interpret(graph, { host: third })).toMatchObject({ state: 'completed', result: { total: 2 } })
  })
})

describe('time', () => {
  const endless = stepType('endless', (_, step) => {
    return new Promise((_, reject) => step.signal.addEventListener('abort', () => reject(new Error('stopped'))))
  })

  it('of an attempt is limited, and an attempt that is late may be made again', async () => {
    const host = new FakeHost()
    const graph = staged([{ a: { type: 'endless', timeoutMs: 2_000, retry: { maxAttempts: 2, waitMs: 0 } } }])
    const ending = interpret(graph, { host, steps: [endless] })
    for (const _ of [1, 2]) {
      await vi.waitFor(() => expect(host.clock.waiting).toBe(1))
      host.clock.advance(2_000)
      await new Promise(setImmediate)
    }
    expect(await ending).toMatchObject({
      state: 'failed',
      error: { message: 'the step took longer than 2s', code: 'timeout' },
    })
    expect(host.journal.outcomes.map(({ state }) => state)).toEqual(['retrying', 'failed'])
  })

  it('of a run is limited, whatever it is doing', async () => {
    const host = new FakeHost()
    const deadline = new Date(host.clock.now().getTime() + 5_000)
    const graph = staged([{ a: { type: 'endless' } }], { onFailFlowId: 'flow_rescue' })
    const ending = interpret(graph, { host, steps: [endless], deadline })
    await vi.waitFor(() => expect(host.clock.waiting).toBe(1))
    host.clock.advance(5_000)
    expect(await ending).toMatchObject({ state: 'failed', error: { code: 'run_timeout' } })
    expect(host.journal.children).toHaveLength(1)
  })

  it('of a run that waits outside memory is over when it is taken up for that', async () => {
    const journal = new FakeJournal()
    const graph = staged([{ nap: { type: 'nap', params: { ms: 60_000 } } }])
    const host = new FakeHost({ journal, parks: true })
    const deadline = new Date(host.clock.now().getTime() + 5_000)
    expect(await interpret(graph, { host, deadline })).toEqual({ state: 'parked' })
    host.clock.advance(5_000)
    const later = new FakeHost({ journal, parks: true, clock: host.clock })
    expect(await interpret(graph, { host: later, deadline })).toMatchObject({
      state: 'failed',
      error: { code: 'run_timeout' },
    })
  })

  it('between attempts grows, and is drawn around its length', async () => {
    const host = new FakeHost()
    host.clock.hurrying = true
    const retry = { maxAttempts: 4, waitMs: 1_000, backoff: 2, jitter: [0.8, 1.2] as const }
    await interpret(staged([{ a: { type: 'fail', retry } }]), { host })
    const waits = host.journal.outcomes.flatMap(({ dueAt, finishedAt }) =>
      dueAt ? [dueAt.getTime() - finishedAt.getTime()] : [],
    )
    expect(waits).toHaveLength(3)
    for (const [at, wait] of waits.entries()) {
      expect(wait).toBeGreaterThanOrEqual(800 * 2 ** at)
      expect(wait).toBeLessThanOrEqual(1_200 * 2 ** at)
    }
  })
})
