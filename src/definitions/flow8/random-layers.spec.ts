import { expect, test } from 'vitest'
import { interpret } from '../../engine/flow.fake.js'
import { type Graph, type GraphNode, nodesOf, STAGE } from '../../engine/graph.js'
import { FakeHost } from '../../engine/host.fake.js'
import { compile } from './compile.js'
import { registry, stepTypes } from './flow.fake.js'
import { flow8Language } from './language.js'
import type { LayerDefinition } from './layers.js'

/** A small generator of numbers, so that a failure can be repeated. */
function dice(seed: number): (sides: number) => number {
  let state = seed
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * sides)
  }
}

/** Layers at random: iterators, aggregators over any other layer, and layers that name any other. */
function randomLayers(roll: (sides: number) => number): LayerDefinition[] {
  const count = roll(9)
  const refs = Array.from({ length: count }, (_, at) => `l${at}`)
  let index = 0
  return refs.map((ref, at): LayerDefinition => {
    const other = refs[Math.max(0, at - 1 - roll(4))] as string
    if (roll(4) > 0) index++
    const layer = { id: ref, ref, index }
    const kind = roll(6)
    if (kind === 0)
      return { ...layer, appId: 'iterator', args: { items: roll(2) ? [1, 2] : `{{ toList $prev.${other} }}` } }
    if (kind < 3) return { ...layer, appId: 'aggregator', args: { sourceRef: other } }
    return { ...layer, appId: 'var', args: { values: { x: roll(3) ? `{{ $prev.${other}.state }}` : 1 } } }
  })
}

/** Every edge leads to a node, and every node but the start is led to once. */
function expectWhole(graph: Graph): void {
  const led = new Map<string, number>([[graph.start, 1]])
  for (const { next } of graph.nodes.values())
    for (const target of Object.values(next)) led.set(target, (led.get(target) ?? 0) + 1)
  expect([...led.keys()].sort()).toEqual([...graph.nodes.keys()].sort())
  expect([...led.values()].every((count) => count === 1)).toBe(true)
  for (const node of nodesOf(graph)) if (node.loop) expectOf(node)
}

function expectOf({ loop }: GraphNode): void {
  if (!loop) return
  expectWhole(loop.body)
  const inside = [...loop.body.nodes.values()].flatMap((node) => node.branches ?? [node]).map(({ name }) => name)
  expect(inside).toEqual(expect.arrayContaining([...loop.collect]))
}

test('layers at random compile to graphs in which each of them is once, or to faults; and the graphs run to their end', async () => {
  const roll = dice(23)
  let runs = 0
  for (let turn = 0; turn < 1_500; turn++) {
    const layers = randomLayers(roll)
    const compilation = compile(JSON.stringify({ layers }), stepTypes)
    if (!compilation.ok) {
      for (const { path } of compilation.faults) expect(path).toMatch(/^\/layers\/\d+\//)
      continue
    }
    const { graph } = compilation
    expectWhole(graph)
    const names = [...nodesOf(graph)].map(({ name }) => name)
    expect(names.filter((name) => !name.startsWith(STAGE)).sort()).toEqual(layers.map(({ ref }) => ref).sort())
    const run = { language: flow8Language, steps: registry.all(), host: new FakeHost() }
    expect(await interpret(graph, run)).toMatchObject({ state: 'completed' })
    runs++
  }
  expect(runs).toBeGreaterThan(100)
})

test('whatever is made of a definition, it compiles or has faults', () => {
  const roll = dice(29)
  const values = [
    null,
    true,
    -1,
    1.5,
    1e300,
    '',
    'x',
    '{{',
    '{{ $prev.a }}',
    '__proto__',
    [],
    [[]],
    {},
    { a: 1 },
    'a\0',
  ]
  const whole: LayerDefinition = {
    id: 'a',
    name: 'A',
    ref: 'a',
    appId: 'var',
    index: 0,
    args: { values: { x: '{{ $prev.args.x }}' } },
    timeout: 1,
    retry: { count: 1, delayMs: 1, backoffMultiplier: 1, jitter: [1, 2] },
    filters: [{ leftValue: '{{ 1 }}', operator: 'regex', rightValue: 'x', cast: 'string', mode: 'or' }],
    needsApproval: true,
    approvers: ['admin'],
    approvalTimeout: 1,
    onDecline: 'skip',
    onError: 'skip',
    enabled: true,
  }
  expect(compile(JSON.stringify({ layers: [whole] }), stepTypes).ok).toBe(true)
  const change = (value: unknown): unknown => {
    if (roll(8) === 0) return values[roll(values.length)]
    if (Array.isArray(value)) return [...value.map(change), ...(roll(6) ? [] : [values[roll(values.length)]])]
    if (typeof value !== 'object' || value === null) return value
    const members = Object.entries(value).flatMap(([name, member]): [string, unknown][] =>
      roll(12) === 0 ? [] : [[roll(20) ? name : `{{ ${name}`, change(member)]],
    )
    return Object.fromEntries(members)
  }
  for (let turn = 0; turn < 4_000; turn++) {
    const text = JSON.stringify(
      change({ layers: [whole, { ...whole, id: 'b', ref: 'b', index: 1 }], settings: { priority: 1 } }),
    )
    const compilation = compile(roll(20) ? text : text.slice(0, roll(text.length)), stepTypes)
    if (!compilation.ok) expect(compilation.faults.length).toBeGreaterThan(0)
  }
})
