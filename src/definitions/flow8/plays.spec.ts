import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type FakeRun, interpret } from '../../engine/flow.fake.js'
import { FakeHost } from '../../engine/host.fake.js'
import type { Json } from '../../platform/json.js'
import { checkParams } from '../../steps/params.js'
import { compiled, registry } from './flow.fake.js'
import { flow8Language } from './language.js'
import type { FlowDefinition, LayerDefinition } from './layers.js'

/** Plays a flow of these layers with an engine and a host of its own. */
async function play(given: Partial<LayerDefinition>[], run: FakeRun = {}) {
  const compilation = compiled(...given)
  if (!compilation.ok) throw new Error(JSON.stringify(compilation.faults))
  const host = run.host ?? new FakeHost()
  const ending = await interpret(compilation.graph, {
    language: flow8Language,
    steps: registry.all(),
    options: {
      checkParams: (type, params) => checkParams(type, params, { expressions: 'none' }).map(({ detail }) => detail),
    },
    ...run,
    host,
  })
  return { ending, host, paths: host.journal.paths() }
}

async function result(given: Partial<LayerDefinition>[], run?: FakeRun): Promise<Json> {
  const { ending } = await play(given, run)
  return ending.state === 'completed'
    ? ending.result
    : { failed: 'error' in ending ? ending.error.message : ending.state }
}

const vars = (ref: string, index: number, values: Record<string, Json>, more: Partial<LayerDefinition> = {}) => ({
  ref,
  index,
  args: { values },
  ...more,
})

test('a flow without layers completes at once', async () => {
  const { ending, paths } = await play([])
  expect(ending).toMatchObject({ state: 'completed', result: {} })
  expect(paths).toEqual([])
})

test('layers see what earlier ones put out, and what the play was given', async () => {
  const flow = [
    vars('a', 0, { n: '{{ add $prev.args.n 1 }}' }),
    vars('b', 1, { left: '{{ mul $prev.a.n 2 }}' }),
    vars('c', 1, { right: '{{ $kv.get "greeting" }}, {{ $prev.input.name }}' }),
    vars('d', 2, { sum: '{{ $prev.b.left }}', text: '{{ $prev.c.right | upper }}', state: '{{ $prev.a.state }}' }),
  ]
  const host = new FakeHost()
  host.keyValues.set('greeting', 'hello')
  expect(await result(flow, { input: { n: 4, name: 'Ada' }, host })).toEqual({
    sum: 10,
    text: 'HELLO, ADA',
    state: 'DONE',
  })
})

describe('filters', () => {
  const flow = (amount: Json): Partial<LayerDefinition>[] => [
    {
      ref: 'route',
      appId: 'router',
      index: 0,
      args: {
        routes: [
          { condition: `{{ gt ${amount} 100 }}`, label: 'large' },
          { condition: 'true', label: 'small' },
        ],
      },
    },
    vars(
      'large',
      1,
      { x: 1 },
      { filters: [{ leftValue: '{{ $prev.route.route }}', operator: 'eq', rightValue: 'large' }] },
    ),
    vars(
      'small',
      1,
      { x: 2 },
      { filters: [{ leftValue: '{{ $prev.route.route }}', operator: 'eq', rightValue: 'small' }] },
    ),
    vars('end', 2, {
      large: '{{ $prev.large.state }}',
      small: '{{ $prev.small.state }}',
      x: '{{ coalesce $prev.large.x $prev.small.x }}',
    }),
  ]

  test('choose what is done after a router', async () => {
    expect(await result(flow(200))).toEqual({ large: 'DONE', small: 'FILTERED', x: 1 })
    expect(await result(flow(50))).toEqual({ large: 'FILTERED', small: 'DONE', x: 2 })
  })

  test('that cannot be compared fail their layer', async () => {
    const filters = [{ leftValue: '{{ list 1 }}', operator: 'gt' as const, rightValue: 1 }]
    expect(await result([vars('a', 0, {}, { filters })])).toEqual({
      failed: 'the filter gt compares two numbers or two texts, not a list and a number',
    })
  })

  test('and a layer that is switched off is passed over', async () => {
    expect(await result([vars('a', 0, {}, { enabled: false }), vars('b', 1, { x: '{{ $prev.a.state }}' })])).toEqual({
      x: 'FILTERED',
    })
  })
})

describe('failures', () => {
  const broken = (more: Partial<LayerDefinition>) => [
    vars('a', 0, { x: '{{ upper $prev.args.n }}' }, more),
    vars('b', 1, { state: '{{ $prev.a.state }}', x: '{{ $prev.a.x }}' }),
  ]
  const run = { input: { n: 5 } }

  test.each<[LayerDefinition['onError'], Json]>([
    ['fail', { failed: '{{ upper $prev.args.n }}: upper takes a text, not a number' }],
    ['continue', { state: 'FAIL', x: null }],
    ['skip', { state: 'SKIP', x: null }],
  ])('%s', async (onError, expected) => {
    expect(await result(broken({ onError }), run)).toEqual(expected)
  })

  test('of an expression are not tried again', async () => {
    const { paths } = await play(broken({ retry: { count: 5 } }), run)
    expect(paths).toEqual(['a'])
  })
})

describe('loops', () => {
  const each = (items: Json, more: Record<string, Json> = {}) => ({
    ref: 'each',
    index: 0,
    appId: 'iterator',
    args: { items, ...more },
  })
  const all = (sourceRef: string, index: number, field?: string) => ({
    ref: 'all',
    index,
    appId: 'aggregator',
    args: { sourceRef, ...(field && { field }) },
  })

  test('have their layers done for each item, and their outputs collected', async () => {
    const flow = [
      each('{{ $prev.args.list }}'),
      vars('double', 1, {
        n: '{{ mul $prev.each.item 2 }}',
        at: '{{ $prev.each.index }} of {{ $prev.each.total }} {{ $prev.each.isLast }}',
      }),
      all('double', 2, 'n'),
    ]
    const { ending, paths } = await play(flow, { input: { list: [1, 2, 3] } })
    expect(ending).toMatchObject({ result: { items: [2, 4, 6], count: 3 } })
    expect(paths).toContain('each[2].double')
    expect(
      await result([...flow.slice(0, 2), all('double', 2, 'at')], { input: { list: ['1', '2'].map(Number) } }),
    ).toMatchObject({
      items: ['0 of 2 false', '1 of 2 true'],
    })
  })

  test('may take several items at a time', async () => {
    const flow = [
      each([1, 2, 3], { batchSize: 2 }),
      vars('sum', 1, { n: '{{ sum $prev.each.item }}' }),
      all('each', 2, 'n'),
    ]
    expect(await result(flow)).toEqual({ items: [3, 3], count: 2 })
  })

  test('with branches inside are collected side by side', async () => {
    const flow = [
      each([1, 2]),
      vars('b', 1, { n: '{{ $prev.each.item }}' }),
      vars('c', 1, { n: '{{ add $prev.each.item 10 }}' }),
      all('each', 2),
    ]
    expect(await result(flow)).toEqual({
      items: [
        { b: { n: 1 }, c: { n: 11 } },
        { b: { n: 2 }, c: { n: 12 } },
      ],
      count: 2,
    })
  })

  test('nest', async () => {
    const flow = [
      { ref: 'outer', index: 0, appId: 'iterator', args: { items: [[1, 2], [3]] } },
      { ref: 'inner', index: 1, appId: 'iterator', args: { items: '{{ $prev.outer.item }}' } },
      vars('x', 2, { n: '{{ $prev.inner.item }}{{ $prev.outer.index }}' }),
      { ref: 'xs', index: 3, appId: 'aggregator', args: { sourceRef: 'x', field: 'n' } },
      { ref: 'rows', index: 4, appId: 'aggregator', args: { sourceRef: 'outer', field: 'items' } },
    ]
    expect(await result(flow)).toEqual({ items: [['10', '20'], ['31']], count: 2 })
  })

  test('over nothing, and loops that are passed over, collect nothing', async () => {
    const body = [vars('x', 1, { n: 1 }), all('x', 2)]
    expect(await result([each([]), ...body])).toEqual({ items: [], count: 0 })
    expect(await result([{ ...each([1]), enabled: false }, ...body])).toEqual({ items: [], count: 0 })
    expect(await result([each([1, 2]), all('each', 1)])).toEqual({ items: [1, 2], count: 2 })
  })

  test('may pass over single items', async () => {
    const filters = [{ leftValue: '{{ $prev.each.item }}', operator: 'gt' as const, rightValue: 1 }]
    expect(
      await result([each([1, 2, 3]), vars('x', 1, { n: '{{ $prev.each.item }}' }, { filters }), all('x', 2, 'n')]),
    ).toEqual({
      items: [2, 3],
      count: 2,
    })
  })

  test('are not needed to collect what one layer put out', async () => {
    const flow = [{ ref: 'e', index: 0, appId: 'enumeration', args: { from: 1, to: 3 } }, all('e', 1)]
    expect(await result(flow)).toEqual({ items: [1, 2, 3], count: 3 })
  })

  test('go on after an interruption where they were', async () => {
    const flow = [each([1, 2, 3]), vars('x', 1, { n: '{{ mul $prev.each.item 2 }}' }), all('x', 2, 'n')]
    const whole = await play(flow)
    for (let count = 0; count < whole.host.journal.outcomes.length; count++) {
      const host = new FakeHost({ journal: whole.host.journal.first(count) })
      expect(await result(flow, { host })).toEqual({ items: [2, 4, 6], count: 3 })
    }
  })
})

test('approvals are asked for with what the layer says', async () => {
  const flow = [
    vars('a', 0, { x: 1 }, { needsApproval: true, approvers: ['admin'], onDecline: 'skip' }),
    vars('b', 1, { state: '{{ $prev.a.state }}' }),
  ]
  const host = new FakeHost()
  host.decisions.set('a', { approved: false, by: 'account_2' })
  expect(await result(flow, { host })).toEqual({ state: 'SKIP' })
  expect(host.askedApprovals).toEqual(['a'])
})

test('secrets are used, and are in no outcome', async () => {
  const host = new FakeHost({ secrets: { TOKEN: 'hunter2-hunter2' } })
  const { ending } = await play(
    [vars('a', 0, { header: 'Bearer {{ $secrets.TOKEN }}', wrong: '{{ len $secrets.TOKEN }}' })],
    { host },
  )
  expect(ending).toMatchObject({ state: 'completed', result: { wrong: 15 } })
  expect(JSON.stringify(host.journal.outcomes)).not.toContain('hunter2')
})

test("the page's example does what the page says", async () => {
  const [, example = ''] = /```json\n(.*?)```/s.exec(readFileSync('docs/expressions.md', 'utf8')) ?? []
  const { layers } = JSON.parse(example) as FlowDefinition
  const orders = [
    { price: 2, count: 3 },
    { price: 5, count: 1 },
  ]
  expect(await result(layers, { input: { orders } })).toEqual({ sum: 11 })
})
