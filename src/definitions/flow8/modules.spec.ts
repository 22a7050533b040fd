import { expect, test } from 'vitest'
import { type FakeRun, interpret } from '../../engine/flow.fake.js'
import { FakeHost } from '../../engine/host.fake.js'
import type { Json } from '../../platform/json.js'
import { checkParams } from '../../steps/params.js'
import { compiled, registry } from './flow.fake.js'
import { flow8Language } from './language.js'
import type { LayerDefinition } from './layers.js'

/** What a flow of these layers comes to, with the modules as they are served. */
async function result(given: Partial<LayerDefinition>[], run: FakeRun = {}): Promise<Json> {
  const compilation = compiled(...given)
  if (!compilation.ok) throw new Error(JSON.stringify(compilation.faults))
  const ending = await interpret(compilation.graph, {
    language: flow8Language,
    steps: registry.all(),
    options: {
      checkParams: (type, params) => checkParams(type, params, { expressions: 'none' }).map(({ detail }) => detail),
    },
    host: new FakeHost(),
    ...run,
  })
  return ending.state === 'completed' ? ending.result : { failed: JSON.stringify(ending) }
}

const ORDERS = [
  { id: 'a', total: 20, who: 'Ada' },
  { id: 'b', total: 5, who: 'Bea' },
  { id: 'c', total: 30, who: 'Cid' },
]

test('templates of a module see the layers before it, and what it is given', async () => {
  const flow: Partial<LayerDefinition>[] = [
    { ref: 'limits', index: 0, args: { values: { least: '{{ $prev.args.least }}' } } },
    {
      ref: 'large',
      appId: 'array-filter',
      index: 1,
      args: { items: '{{ $prev.args.orders }}', condition: '{{ ge .total $prev.limits.least }}' },
    },
    {
      ref: 'lines',
      appId: 'array-map',
      index: 2,
      args: { items: '{{ $prev.large.items }}', template: '{{ add $index 1 }}. {{ .who }}' },
    },
    {
      ref: 'letter',
      appId: 'template',
      index: 3,
      args: {
        template: '{{ range .lines }}{{ . }}\n{{ end }}of {{ len $prev.args.orders }}',
        data: { lines: '{{ $prev.lines.items }}' },
      },
    },
  ]
  expect(await result(flow, { input: { least: 10, orders: ORDERS } })).toEqual({ result: '1. Ada\n2. Cid\nof 3' })
})

test('a loop ends in an aggregator, whose list goes on to the next module', async () => {
  const flow: Partial<LayerDefinition>[] = [
    { ref: 'numbers', appId: 'enumeration', index: 0, args: { from: 1, to: 5 } },
    { ref: 'each', appId: 'iterator', index: 1, args: { items: '{{ $prev.numbers.items }}', batchSize: 2 } },
    { ref: 'sum', index: 2, args: { values: { of: { sum: '{{ sum $prev.each.item }}' } } } },
    { ref: 'sums', appId: 'aggregator', index: 3, args: { sourceRef: 'sum', field: 'of.sum' } },
    { ref: 'text', appId: 'base64-encode', index: 4, args: { input: '{{ join "+" $prev.sums.items }}' } },
    { ref: 'back', appId: 'base64-decode', index: 5, args: { input: '{{ $prev.text.result }}' } },
  ]
  expect(await result(flow)).toEqual({ result: '3+7+5' })
})

test('a pattern is searched for in what an earlier layer put out', async () => {
  const flow: Partial<LayerDefinition>[] = [
    { ref: 'data', index: 0, args: { values: { text: 'order 17, Order 23' } } },
    {
      ref: 'found',
      appId: 'regex',
      index: 1,
      args: { input: '{{ $prev.data.text }}', pattern: '(?i)order (\\d+)', operation: 'findAll' },
    },
  ]
  expect(await result(flow)).toMatchObject({ found: true, matches: ['order 17', 'Order 23'] })
})

test('a subflow is given its args, and its end decides', async () => {
  const flow: Partial<LayerDefinition>[] = [
    { ref: 'other', appId: 'subflow', index: 0, args: { flowId: 'flow_x', args: { n: '{{ $prev.args.n }}' } } },
    { ref: 'after', index: 1, args: { values: { was: '{{ $prev.other.state }}', out: '{{ $prev.other.out.n }}' } } },
  ]
  const host = new FakeHost()
  await result(flow, { input: { n: 7 }, host })
  expect(host.journal.children).toMatchObject([{ flowId: 'flow_x', input: { n: 7 }, awaited: true }])
  const [child] = host.journal.children
  if (child) child.end = { state: 'completed', result: { n: 8 } }
  const next = new FakeHost({ journal: host.journal, clock: host.clock })
  expect(await result(flow, { input: { n: 7 }, host: next })).toEqual({ was: 'DONE', out: 8 })
})

test('a template that does not parse is a fault when the flow is saved', () => {
  const compilation = compiled({
    appId: 'array-filter',
    args: { items: '{{ $prev.args.items }}', condition: '{{ gt .price }' },
  })
  expect(compilation).toMatchObject({ ok: false, faults: [{ path: '/layers/0/args/condition' }] })
})
