import { describe, expect, test } from 'vitest'
import { processorTime } from '../../../test/support/processor-time.js'
import type { Graph, GraphNode } from '../../engine/graph.js'
import type { Json } from '../../platform/json.js'
import { compile } from './compile.js'
import { toDomainError } from './faults.js'
import { compiled, layers, stepTypes } from './flow.fake.js'
import type { LayerDefinition } from './layers.js'

function graphOf(...given: Partial<LayerDefinition>[]): Graph {
  const compilation = compiled(...given)
  if (!compilation.ok) throw new Error(compilation.faults.map(({ path, detail }) => `${path}: ${detail}`).join('; '))
  return compilation.graph
}

function faultsOf(...given: Partial<LayerDefinition>[]) {
  const compilation = compiled(...given)
  return compilation.ok ? [] : compilation.faults
}

/** The way through a graph: `a`, `[b c]` side by side, `each(d e)` a loop. */
function way(graph: Graph): string {
  const words: string[] = []
  for (let node = graph.nodes.get(graph.start); node; node = graph.nodes.get(node.next.default ?? '')) {
    if (node.branches) words.push(`[${node.branches.map(({ name }) => name).join(' ')}]`)
    else words.push(node.loop ? `${node.name}(${way(node.loop.body)})` : node.name)
  }
  return words.join(' ')
}

function node(graph: Graph, name: string): GraphNode {
  const inside = (level: Graph): GraphNode | undefined => {
    for (const one of [...level.nodes.values()].flatMap((at) => at.branches ?? [at])) {
      const found = one.name === name ? one : one.loop && inside(one.loop.body)
      if (found) return found
    }
    return undefined
  }
  return inside(graph) as GraphNode
}

const iterator = (ref: string, index: number): Partial<LayerDefinition> => ({
  ref,
  index,
  appId: 'iterator',
  args: { items: [1, 2] },
})
const aggregator = (ref: string, index: number, sourceRef: string): Partial<LayerDefinition> => ({
  ref,
  index,
  appId: 'aggregator',
  args: { sourceRef },
})

describe('stages', () => {
  test('layers follow one another by their index, whatever their order in the text', () => {
    expect(way(graphOf({ ref: 'c', index: 7 }, { ref: 'a', index: 0 }, { ref: 'b', index: 3 }))).toBe('a b c')
  })

  test('layers with the same index are branches of one stage', () => {
    const graph = graphOf(
      { ref: 'a', index: 0 },
      { ref: 'b', index: 1 },
      { ref: 'c', index: 1 },
      { ref: 'd', index: 2 },
    )
    expect(way(graph)).toBe('a [b c] d')
    expect(graph.nodes.get('stage:1')).toMatchObject({ type: 'stage', next: { default: 'd' }, params: {} })
    expect(graph.start).toBe('a')
  })

  test('a flow without layers is legal and has nothing to do', () => {
    const graph = graphOf()
    expect(graph.nodes.get(graph.start)).toMatchObject({ type: 'stage', branches: [], next: {} })
  })
})

describe('a layer as a node', () => {
  test('with nothing said of it', () => {
    expect(node(graphOf({ ref: 'a', args: { values: { x: '{{ $prev.args.y }}' } } }), 'a')).toEqual({
      name: 'a',
      type: 'var',
      params: { values: { x: '{{ $prev.args.y }}' } },
      next: {},
      label: { id: 'layer_0', index: 0 },
      timeoutMs: 300_000,
    })
  })

  test('with all that can be said', () => {
    const layer: Partial<LayerDefinition> = {
      ref: 'a',
      timeout: 1.5,
      retry: { count: 2, delayMs: 50, backoffMultiplier: 3, jitter: [0.5, 1] },
      needsApproval: true,
      approvers: ['account_1', 'admin'],
      approvalTimeout: 60,
      onDecline: 'skip',
      onError: 'continue',
    }
    expect(node(graphOf(layer), 'a')).toMatchObject({
      timeoutMs: 1500,
      retry: { maxAttempts: 3, waitMs: 50, backoff: 3, jitter: [0.5, 1] },
      approval: { approvers: ['account_1', 'admin'], onDecline: 'skip', timeoutMs: 60_000 },
      onError: 'continue',
    })
  })

  test.each([
    [{ count: 1 }, { maxAttempts: 2, waitMs: 1000, backoff: 2, jitter: [0.8, 1.2] }],
    [
      { count: 0, jitter: false },
      { maxAttempts: 1, waitMs: 1000, backoff: 2 },
    ],
    [
      { count: 1, jitter: true, backoffMultiplier: 1, delayMs: 0 },
      { maxAttempts: 2, waitMs: 0, backoff: 1, jitter: [0.8, 1.2] },
    ],
  ])('retry %j', (retry, expected) => {
    expect(node(graphOf({ ref: 'a', retry }), 'a').retry).toEqual(expected)
  })

  test('one whose work is to wait says itself how long', () => {
    expect(node(graphOf({ ref: 'a', appId: 'delay', args: { duration: '1h' } }), 'a').timeoutMs).toBeUndefined()
    const child = { ref: 'a', appId: 'subflow', args: { flowId: 'f', timeout: 3_600 } }
    expect(node(graphOf(child), 'a').timeoutMs).toBeUndefined()
    expect(node(graphOf({ ...child, timeout: 60 }), 'a').timeoutMs).toBe(60_000)
    expect(node(graphOf({ ...child, args: { flowId: 'f' } }), 'a').timeoutMs).toBe(300_000)
  })

  test('one that is switched off is filtered, and may be named all the same', () => {
    const graph = graphOf({ ref: 'a', enabled: false }, { args: { values: { x: '{{ $prev.a.y }}' } } })
    expect(node(graph, 'a').condition?.holds({})).toBe(false)
  })

  test('settings become those of its runs', () => {
    const settings = { priority: 5, queue: 'heavy', concurrency: 3 }
    const compilation = compile(JSON.stringify({ layers: layers({}), settings }), stepTypes)
    expect(compilation).toMatchObject({
      ok: true,
      graph: { settings: { priority: 5, tag: 'heavy', concurrency: { limit: 3 } } },
    })
  })
})

describe('loops', () => {
  test('reach to the first aggregator that collects from inside', () => {
    const graph = graphOf(
      { ref: 'a' },
      iterator('each', 1),
      { ref: 'b', index: 2 },
      { ref: 'c', index: 2 },
      { ref: 'd', index: 3 },
      aggregator('all', 4, 'd'),
      { ref: 'e', index: 5 },
    )
    expect(way(graph)).toBe('a each([b c] d) all e')
    expect(node(graph, 'each').loop).toMatchObject({ collect: ['d'], maxParallel: 1 })
    expect(node(graph, 'all').params).toEqual({
      sourceRef: 'd',
      source: '{{ default (list) (index (index $prev "each" "outputs") "d") }}',
    })
  })

  test('reach to the end where nothing collects', () => {
    expect(way(graphOf(iterator('each', 0), { ref: 'b', index: 2 }, { ref: 'c', index: 3 }))).toBe('each(b c)')
  })

  test('may have nothing inside', () => {
    const graph = graphOf(iterator('each', 0), aggregator('all', 1, 'each'))
    expect(way(graph)).toBe('each([]) all')
    expect(node(graph, 'all').params.source).toEqual([1, 2])
  })

  test('wait for what has the same index as their iterator', () => {
    expect(way(graphOf({ ref: 'a', index: 0 }, iterator('each', 0), { ref: 'b', index: 1 }))).toBe('a each(b)')
  })

  test('may be collected from more than once', () => {
    const graph = graphOf(
      iterator('each', 0),
      { ref: 'b', index: 1 },
      { ref: 'c', index: 2 },
      aggregator('bs', 3, 'b'),
      aggregator('cs', 3, 'c'),
      aggregator('more', 4, 'b'),
    )
    expect(way(graph)).toBe('each(b c) [bs cs] more')
    expect(node(graph, 'each').loop?.collect).toEqual(['b', 'c'])
  })

  test('are collected as a whole by what comes last in each round', () => {
    const one = graphOf(
      iterator('each', 0),
      { ref: 'b', index: 1 },
      { ref: 'c', index: 2 },
      aggregator('all', 3, 'each'),
    )
    expect(node(one, 'all').params.source).toContain('"c")')
    const two = graphOf(
      iterator('each', 0),
      { ref: 'b', index: 1 },
      { ref: 'c', index: 1 },
      aggregator('all', 3, 'each'),
    )
    expect(node(two, 'all').params.source).toBe(
      '{{ rows (pick (default (dict) (index $prev "each" "outputs")) "b" "c") }}',
    )
    expect(node(two, 'each').loop?.collect).toEqual(['b', 'c'])
  })

  test('nest, and the innermost that is spoken of ends', () => {
    const nested = [iterator('outer', 0), { ref: 'a', index: 1 }, iterator('inner', 2), { ref: 'b', index: 3 }]
    expect(way(graphOf(...nested))).toBe('outer(a inner(b))')
    expect(way(graphOf(...nested, aggregator('bs', 4, 'b'), { ref: 'c', index: 5 }))).toBe('outer(a inner(b) bs c)')
    expect(way(graphOf(...nested, aggregator('bs', 4, 'b'), aggregator('all', 5, 'bs'), { ref: 'c', index: 6 }))).toBe(
      'outer(a inner(b) bs) all c',
    )
    expect(way(graphOf(...nested, aggregator('as', 4, 'a'), { ref: 'c', index: 5 }))).toBe('outer(a inner(b)) as c')
    expect(way(graphOf(...nested, aggregator('all', 4, 'outer')))).toBe('outer(a inner(b)) all')
  })

  test('do not end at an aggregator over a layer in front of them', () => {
    const graph = graphOf({ ref: 'a' }, iterator('each', 1), aggregator('as', 2, 'a'), { ref: 'b', index: 3 })
    expect(way(graph)).toBe('a each(as b)')
    expect(node(graph, 'as').params.source).toBe('{{ toList (index $prev "a") }}')
  })

  test('an aggregator may name its list itself', () => {
    const args = { source: '{{ $prev.a.list }}', field: 'x' }
    expect(node(graphOf({ ref: 'a' }, { ref: 'b', appId: 'aggregator', args }), 'b').params).toEqual(args)
  })

  test('show their item to the layers inside, and to no others', () => {
    const values = { x: '{{ $prev.each.item }} {{ $prev.a.y }}' }
    expect(faultsOf({ ref: 'a' }, iterator('each', 1), { ref: 'b', index: 2, args: { values } })).toEqual([])
    const behind = { index: 4, args: { values: { x: '{{ $prev.b }}', y: '{{ $prev.each.total }}' } } }
    expect(faultsOf(iterator('each', 0), { ref: 'b', index: 2 }, aggregator('all', 3, 'b'), behind)).toEqual([
      {
        path: '/layers/3/args/values/x',
        code: 'inner_ref',
        detail: "the layer 'b' is inside a loop: only an aggregator can collect what it puts out",
        offset: 3,
      },
    ])
  })
})

describe('faults', () => {
  const values = (x: Json) => ({ args: { values: { x } } })

  test.each<[string, Partial<LayerDefinition>[], { path: string; code: string; detail: string; offset?: number }]>([
    [
      'an unknown module',
      [{ appId: 'crul', args: {} }],
      { path: '/layers/0/appId', code: 'unknown_module', detail: "there is no module 'crul'" },
    ],
    [
      'a ref twice',
      [{ ref: 'a' }, { ref: 'a' }],
      { path: '/layers/1/ref', code: 'duplicate_ref', detail: "another layer has the ref 'a'" },
    ],
    [
      'an id twice',
      [{ id: 'x' }, { id: 'x' }],
      { path: '/layers/1/id', code: 'duplicate_id', detail: "another layer has the id 'x'" },
    ],
    [
      'a reserved ref',
      [{ ref: 'args' }],
      {
        path: '/layers/0/ref',
        code: 'reserved_ref',
        detail: "'args' is not free: $prev.args is what the play was given",
      },
    ],
    [
      'a malformed ref',
      [{ ref: '1a' }],
      { path: '/layers/0/ref', code: 'pattern', detail: 'layers[0].ref must match ^[A-Za-z_][A-Za-z0-9_-]*$' },
    ],
    [
      'a ref that is not there',
      [values('{{ $prev.nope.x }}')],
      { path: '/layers/0/args/values/x', code: 'unknown_ref', detail: "there is no layer 'nope'", offset: 3 },
    ],
    [
      'a ref of a later layer',
      [values('a {{ $prev.l1.x }}'), {}],
      { path: '/layers/0/args/values/x', code: 'later_ref', detail: "the layer 'l1' comes later", offset: 5 },
    ],
    [
      'a ref beside',
      [{ index: 0, ...values('{{ $prev.l1.x }}') }, { index: 0 }],
      {
        path: '/layers/0/args/values/x',
        code: 'later_ref',
        detail: "the layer 'l1' has the same index, so that both run at the same time",
        offset: 3,
      },
    ],
    [
      'its own ref',
      [values('{{ $prev.l0.x }}')],
      { path: '/layers/0/args/values/x', code: 'later_ref', detail: "the layer 'l0' cannot name itself", offset: 3 },
    ],
    [
      'an expression that does not parse',
      [values('{{ $prev.args.x | }}')],
      { path: '/layers/0/args/values/x', code: 'expression', detail: 'an expression is missing', offset: 17 },
    ],
    [
      'one in a name',
      [{ args: { values: { '{{ nope }}': 1 } } }],
      {
        path: '/layers/0/args/values/{{ nope }}',
        code: 'expression',
        detail: "there is no function 'nope'",
        offset: 3,
      },
    ],
    [
      'a variable that is not there',
      [values('{{ $prevv.x }}')],
      { path: '/layers/0/args/values/x', code: 'expression', detail: "there is no variable '$prevv'", offset: 3 },
    ],
    [
      'dot outside a block',
      [values('{{ .x }}')],
      {
        path: '/layers/0/args/values/x',
        code: 'expression',
        detail: "'.' means nothing here: begin with a variable, such as $prev",
        offset: 3,
      },
    ],
    [
      'a member of $date',
      [values('{{ $date.yesterday }}')],
      { path: '/layers/0/args/values/x', code: 'unknown_ref', detail: 'there is no $date.yesterday', offset: 3 },
    ],
    [
      'an argument that is missing',
      [{ appId: 'curl', args: {} }],
      { path: '/layers/0/args/url', code: 'required', detail: 'url is required' },
    ],
    [
      'an argument of the wrong type',
      [{ appId: 'enumeration', args: { from: 'one', to: 3 } }],
      {
        path: '/layers/0/args/from',
        code: 'type',
        detail: expect.stringContaining('from must be') as unknown as string,
      },
    ],
    [
      'an unknown argument',
      [{ appId: 'var', args: { values: {}, colour: 1 } }],
      { path: '/layers/0/args/colour', code: 'unknown_parameter', detail: "'colour' is not a parameter here" },
    ],
    [
      'two iterators side by side',
      [iterator('a', 0), iterator('b', 0)],
      {
        path: '/layers/1/index',
        code: 'two_iterators',
        detail: "the layers 'a' and 'b' have the same index, and only one of them can be an iterator",
      },
    ],
    [
      'a source that is not there',
      [iterator('a', 0), aggregator('b', 1, 'nope')],
      { path: '/layers/1/args/sourceRef', code: 'unknown_ref', detail: "there is no layer 'nope'" },
    ],
    [
      'a source beside',
      [{ ref: 'a', index: 0 }, aggregator('b', 0, 'a')],
      {
        path: '/layers/1/args/sourceRef',
        code: 'later_ref',
        detail: "the layer 'a' has the same index, so that both run at the same time",
      },
    ],
    [
      'a source in a loop of a loop',
      [
        iterator('o', 0),
        iterator('i', 1),
        { ref: 'x', index: 2 },
        aggregator('xs', 3, 'x'),
        aggregator('os', 4, 'o'),
        aggregator('bad', 5, 'x'),
      ],
      {
        path: '/layers/5/args/sourceRef',
        code: 'inner_ref',
        detail: "the layer 'x' is inside a loop: only an aggregator can collect what it puts out",
      },
    ],
    [
      'a filter that names a later layer',
      [{ filters: [{ leftValue: '{{ $prev.l1.x }}', operator: 'is_empty' }] }, {}],
      { path: '/layers/0/filters/0/leftValue', code: 'later_ref', detail: "the layer 'l1' comes later", offset: 3 },
    ],
    [
      'a pattern that is none',
      [{ filters: [{ leftValue: 'x', operator: 'regex', rightValue: '(' }] }],
      {
        path: '/layers/0/filters/0/rightValue',
        code: 'pattern',
        detail: 'the filter regex: the pattern is not a regular expression: missing closing ): `(`',
      },
    ],
    [
      'an operator that is none',
      [{ filters: [{ leftValue: 'x', operator: 'like' as 'eq' }] }],
      {
        path: '/layers/0/filters/0/operator',
        code: 'enum',
        detail: expect.stringContaining('layers[0].filters[0].operator must be one of eq, neq') as unknown as string,
      },
    ],
    [
      'a negative index',
      [{ index: -1 }],
      { path: '/layers/0/index', code: 'minimum', detail: 'layers[0].index must be at least 0' },
    ],
    [
      'a strange member',
      [{ colour: 'red' } as Partial<LayerDefinition>],
      { path: '/layers/0/colour', code: 'unknown_parameter', detail: "'layers[0].colour' is not a parameter here" },
    ],
    [
      'jitter that is none',
      [{ retry: { count: 1, jitter: 'much' as unknown as boolean } }],
      {
        path: '/layers/0/retry/jitter',
        code: 'any_of',
        detail: 'layers[0].retry.jitter must be true or false; or layers[0].retry.jitter must be a list',
      },
    ],
  ])('%s', (_, given, fault) => {
    expect(faultsOf(...given)).toEqual([fault])
  })

  test('are told all at once, in the order of the layers', () => {
    const faults = faultsOf(
      { ref: 'a', args: { values: { x: '{{ $prev.b }}', y: '{{ oops }}', z: '{{ if }}' } } },
      { ref: 'b', appId: 'nope', args: { x: '{{ $nope }}' } },
      { ref: 'b', appId: 'curl', args: { url: 5 } },
    )
    expect(faults.map(({ path, code }) => `${path} ${code}`)).toEqual([
      '/layers/0/args/values/x later_ref',
      '/layers/0/args/values/y expression',
      '/layers/0/args/values/z expression',
      '/layers/1/appId unknown_module',
      '/layers/2/ref duplicate_ref',
      '/layers/2/args/url type',
    ])
  })

  test('an expression may become anything that its argument takes', () => {
    expect(faultsOf({ appId: 'enumeration', args: { from: '{{ $prev.args.from }}', to: '{{ 5 }}', step: 1 } })).toEqual(
      [],
    )
    expect(faultsOf({ appId: 'curl', args: { url: 'https://x/{{ $prev.args.id }}' } })).toEqual([])
  })

  test('code that a module evaluates itself is its own matter', () => {
    expect(faultsOf({ appId: 'transform', args: { script: 'return `{{ ${input}`' } })).toEqual([])
  })

  test.each([
    ['', 'invalid_json'],
    ['[]', 'type'],
    ['null', 'type'],
    ['{}', 'required'],
    ['{"layers":{}}', 'type'],
    ['{"layers":[1]}', 'type'],
    ['{"layers":[],"x":1}', 'unknown_parameter'],
    [JSON.stringify({ layers: layers({ name: 'a\0' }) }), 'unstorable_text'],
    [JSON.stringify({ layers: new Array(501).fill(1) }), 'max_items'],
    [`{"layers":${'['.repeat(200)}${']'.repeat(200)}}`, 'too_deep'],
    [JSON.stringify({ layers: layers({ args: { values: { x: 'y'.repeat(1_048_576) } } }) }), 'too_large'],
  ])('%.40s is no definition', (text, code) => {
    const compilation = compile(text, stepTypes)
    expect(compilation.ok ? [] : compilation.faults.map((fault) => fault.code)).toEqual([code])
  })

  test('are told to a caller by where they are in the request', () => {
    const faults = [
      { path: '/layers/1/args/url', code: 'required', detail: 'url is required' },
      { path: '/layers/2/args/x', code: 'expression', detail: 'an expression is missing', offset: 3 },
    ]
    expect(toDomainError(faults, '/layers/1')).toMatchObject({
      slug: 'validation-error',
      message: 'The flow is invalid: url is required (and 1 more)',
      faults: [
        { pointer: '#/args/url', code: 'required', detail: 'url is required' },
        { pointer: '#/layers/2/args/x', code: 'expression', detail: 'an expression is missing (at character 4)' },
      ],
    })
  })
})

test('a subflow may name the flow that it is in', () => {
  expect(faultsOf({ appId: 'subflow', args: { flowId: '{{ $flowId }}', args: {} } })).toEqual([])
})

test('hostile names stay names', () => {
  const hostile = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
  const graph = graphOf(...hostile.map((ref, index) => ({ ref, index })), {
    index: 9,
    args: { values: { x: hostile.map((ref) => `{{ $prev.${ref}.state }}`) } },
  })
  expect(way(graph)).toBe(`${hostile.join(' ')} l4`)
})

test('a thousand expressions in five hundred layers compile in no time', () => {
  const many = Array.from({ length: 500 }, (_, at) => ({
    args: { values: { a: at ? `{{ $prev.l${at - 1}.a }}` : '', b: `{{ add ${at} 1 }}` } },
  }))
  const spent = processorTime()
  expect(graphOf(...many).nodes.size).toBe(500)
  expect(spent()).toBeLessThan(2_000)
})

test('patterns take their time together', () => {
  const filters = Array.from({ length: 50 }, (_, at) => ({
    leftValue: 'x',
    operator: 'regex' as const,
    rightValue: `a{1000}b{1000}c{1000}${at}`,
  }))
  const spent = processorTime()
  const faults = faultsOf(...Array.from({ length: 20 }, () => ({ filters })))
  expect(new Set(faults.map(({ code }) => code))).toEqual(new Set(['too_complex']))
  expect(spent()).toBeLessThan(5_000)
})
