import { describe, expect, it } from 'vitest'
import { graphOf, interpret, stepType } from './flow.fake.js'
import { FakeHost } from './host.fake.js'
import { type Settled, walkOf } from './walk.js'

describe('a walk', () => {
  it('follows loops and branches as the interpreter went, whatever the order of names', async () => {
    const graph = graphOf({
      z: { type: 'echo', next: { default: 'again' } },
      again: { type: 'turn', next: { more: 'z', done: 'a' } },
      a: { type: 'fail', params: { action: 'odd' }, next: { odd: 'm', error: 'never' } },
      m: { type: 'echo', batch: { strategy: 'serial', maxParallel: 1 }, next: { default: 'last' } },
      never: { type: 'echo' },
      last: { type: 'fail' },
    })
    let turns = 0
    const turn = stepType('turn', () => ({ output: [1, 2], action: ++turns < 3 ? 'more' : 'done' }))
    const items = stepType('items', () => ({ output: [1, 2] }))
    const host = new FakeHost()
    const nodes = new Map(graph.nodes)
    const m = nodes.get('m')
    if (m) nodes.set('m', { ...m, params: { items: [1, 2] } })
    const ending = await interpret({ ...graph, nodes }, { host, steps: [turn, items] })
    expect(ending).toMatchObject({ state: 'failed', error: { node: 'last' } })
    const walk = walkOf(graph, undefined, settledBy(host))
    expect(walk.map(({ path }) => path)).toEqual(['z', 'again', 'z#2', 'again#2', 'z#3', 'again#3', 'a', 'm', 'last'])
    expect(walk.at(-1)).toMatchObject({ outcome: { state: 'failed' }, leadsOn: false })
    expect(walk.at(-3)).toMatchObject({ outcome: { state: 'failed' }, leadsOn: true })
  })

  it('ends with the visit that was never settled', () => {
    const graph = graphOf({ a: { type: 'echo', next: { default: 'b' } }, b: { type: 'hang', next: { default: 'c' } } })
    const walk = walkOf(graph, undefined, new Map([['a', { state: 'succeeded' }]]))
    expect(walk).toEqual([
      { path: 'a', node: 'a', nodeType: 'echo', outcome: { state: 'succeeded' }, leadsOn: true },
      { path: 'b', node: 'b', nodeType: 'hang', outcome: undefined, leadsOn: false },
    ])
  })

  it('begins at the node that the run was started at, and goes no further than the graph does', () => {
    const graph = graphOf({ a: { type: 'echo' }, b: { type: 'echo', next: { default: 'gone' } } })
    expect(walkOf(graph, 'b', new Map([['b', { state: 'succeeded' }]])).map(({ path }) => path)).toEqual(['b'])
    expect(walkOf(graph, 'gone', new Map())).toEqual([])
  })
})

function settledBy(host: FakeHost): Map<string, Settled> {
  return new Map(host.journal.outcomes.map((outcome) => [outcome.path, outcome]))
}
