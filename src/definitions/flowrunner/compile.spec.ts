import { describe, expect, it } from 'vitest'
import type { Graph } from '../../engine/graph.js'
import { DomainError } from '../../platform/errors/domain-error.js'
import { fakeStepTypes } from '../step-types.fake.js'
import { compile, type DefinitionFault, toDomainError } from './index.js'

function faultsOf(definition: string): DefinitionFault[] {
  const compilation = compile(definition, fakeStepTypes)
  return compilation.ok ? [] : compilation.faults
}

/** As `line:column path detail`, which is what an author reads. */
function told(definition: string): string[] {
  return faultsOf(definition).map(({ line, column, path, detail }) => `${line}:${column} ${path} ${detail}`)
}

function graphOf(definition: string): Graph {
  const compilation = compile(definition, fakeStepTypes)
  if (!compilation.ok) throw new Error(JSON.stringify(compilation.faults))
  return compilation.graph
}

/** A flow around the members of `nodes`, whose first line is line 3. */
function flow(nodes: string): string {
  return `metadata: {name: test}\nnodes:\n${nodes}`
}

const step = '{type: transform, params: {script: 1}}'

describe('what a node may ask for beside the reference', () => {
  it('is never to run twice, and that the outputs of its batch are not collected', () => {
    const graph = graphOf(
      flow('  a: {type: notification, x-guarantee: at_most_once, batch: {strategy: async, x-collect: false}}'),
    )
    expect(graph.nodes.get('a')).toMatchObject({ guarantee: 'at_most_once', batch: { collect: false } })
    const plain = graphOf(flow('  a: {type: notification, batch: {strategy: async, x-collect: true}}'))
    expect(plain.nodes.get('a')).toEqual({
      name: 'a',
      type: 'notification',
      params: {},
      next: {},
      batch: { strategy: 'async', maxParallel: 64 },
    })
  })
})

describe('a valid definition', () => {
  it("compiles the reference's own example", () => {
    const definition =
      'metadata:\n  name: "My Flow"\n  description: "A simple flow"\n  version: "1.0.0"\n\nnodes:\n  start:\n    type: "http.request"\n    params:\n      url: "https://api.example.com/data"\n      method: "GET"\n    next:\n      default: "end"\n  \n  end:\n    type: "webhook"\n    params:\n      url: "https://webhook.example.com/callback"\n      method: "POST"\n'
    const compilation = compile(definition, fakeStepTypes)
    expect(compilation).toMatchObject({
      ok: true,
      metadata: { name: 'My Flow', description: 'A simple flow', version: '1.0.0' },
      warnings: [],
    })
    const graph = graphOf(definition)
    expect(graph.start).toBe('start')
    expect([...graph.nodes.values()]).toEqual([
      {
        name: 'start',
        type: 'http.request',
        params: { url: 'https://api.example.com/data', method: 'GET' },
        next: { default: 'end' },
      },
      {
        name: 'end',
        type: 'webhook',
        params: { url: 'https://webhook.example.com/callback', method: 'POST' },
        next: {},
      },
    ])
  })

  it('takes names and versions that are numbers as they are written', () => {
    const compilation = compile(`metadata: {name: 007, version: 1.0}\nnodes: {a: ${step}}`, fakeStepTypes)
    expect(compilation).toMatchObject({ ok: true, metadata: { name: '007', version: '1.0' } })
  })

  it('reads batch, retry and hooks', () => {
    const [node] = graphOf(
      flow(`  a:
    type: transform
    params: {script: 'return input'}
    batch: {strategy: worker_pool, max_parallel: 5}
    retry: {max_retries: 3, wait: 5s}
    hooks: {prep: 'return context', post: 'return result'}`),
    ).nodes.values()
    expect(node).toMatchObject({
      batch: { strategy: 'worker_pool', maxParallel: 5 },
      retry: { maxAttempts: 3, waitMs: 5000 },
      hooks: { prep: 'return context', post: 'return result' },
    })
  })

  it.each([
    ['{strategy: parallel}', { strategy: 'parallel', maxParallel: 64 }],
    ['{strategy: async, max_parallel: 1}', { strategy: 'async', maxParallel: 1 }],
    ['{strategy: serial, max_parallel: 9}', { strategy: 'serial', maxParallel: 1 }],
  ])('runs a batch %s as %j', (batch, expected) => {
    expect(graphOf(flow(`  a: {type: condition, batch: ${batch}}`)).nodes.get('a')?.batch).toEqual(expected)
  })

  it.each([
    ['{max_retries: 0}', { maxAttempts: 1, waitMs: 0 }],
    ['{max_retries: 1, wait: 250ms}', { maxAttempts: 1, waitMs: 250 }],
    ['{max_retries: 4, wait: 2m}', { maxAttempts: 4, waitMs: 120_000 }],
    ['{max_retries: 2, wait: 1500us}', { maxAttempts: 2, waitMs: 2 }],
    ['{wait: 1h}', { maxAttempts: 1, waitMs: 3_600_000 }],
  ])('reads a retry %s as %j', (retry, expected) => {
    expect(graphOf(flow(`  a: {type: condition, retry: ${retry}}`)).nodes.get('a')?.retry).toEqual(expected)
  })

  it('takes members without a value as absent', () => {
    const node = graphOf(
      flow('  a:\n    type: condition\n    params:\n    next:\n    batch:\n    retry:\n    hooks:'),
    ).nodes.get('a')
    expect(node).toEqual({ name: 'a', type: 'condition', params: {}, next: {} })
  })

  it('shares through anchors, aliases and merge keys, which its own keys override', () => {
    const graph = graphOf(`
x-defaults: &http {method: GET, timeout: 5s, url: none}
.slow: &slow {timeout: 60s, headers: {A: b}}
metadata: {name: shared}
nodes:
  a:
    type: http.request
    params: {url: "http://a.test", <<: [*http, *slow]}
    next: &go {default: b}
  b: {type: http.request, params: *http, next: {default: &last c}}
  c: {type: transform, params: {script: *last, "<<": literal}}`)
    expect(graph.nodes.get('a')?.params).toEqual({
      url: 'http://a.test',
      method: 'GET',
      timeout: '5s',
      headers: { A: 'b' },
    })
    expect(graph.nodes.get('b')?.params).toEqual({ method: 'GET', timeout: '5s', url: 'none' })
    expect(graph.nodes.get('c')?.params).toEqual({ script: 'c', '<<': 'literal' })
  })

  it('does not let nodes that share an anchor share an object', () => {
    const { nodes } = graphOf(
      flow(
        '  a: {type: store, params: &p {operation: get, filter: {x: 1}}, next: {default: b}}\n  b: {type: store, params: *p}',
      ),
    )
    expect(nodes.get('a')?.params.filter).toEqual({ x: 1 })
    expect(nodes.get('a')?.params.filter).not.toBe(nodes.get('b')?.params.filter)
  })

  it('takes plain dates, yes and no as texts', () => {
    const { nodes } = graphOf(
      flow('  a: {type: store, params: {operation: set, value: [2026-01-31, yes, no, on, 1_000]}}'),
    )
    expect(nodes.get('a')?.params.value).toEqual(['2026-01-31', 'yes', 'no', 'on', '1_000'])
  })

  it('treats names of the prototype as any other', () => {
    const { start, nodes } = graphOf(
      flow(`  __proto__: {type: condition, next: {__proto__: constructor, toString: hasOwnProperty}}
  constructor: {type: store, params: {operation: get, __proto__: {polluted: 1}}}
  hasOwnProperty: {type: condition}`),
    )
    expect(start).toBe('__proto__')
    const next = nodes.get('__proto__')?.next
    expect(Object.entries(next ?? {})).toEqual([
      ['__proto__', 'constructor'],
      ['toString', 'hasOwnProperty'],
    ])
    expect(next?.constructor).toBeUndefined()
    const params = nodes.get('constructor')?.params ?? {}
    expect(Object.keys(params)).toEqual(['operation', '__proto__'])
    expect(params.polluted).toBeUndefined()
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  it('warns of what is accepted and probably not meant', () => {
    const compilation = compile(
      `metadata: {name: w, author: me}
nodes:
  start: {type: store, params: {operation: get, key: 12345678901234567890}}
  orphan: {type: condition}`,
      fakeStepTypes,
    )
    expect(compilation).toMatchObject({
      ok: true,
      warnings: [
        { line: 1, column: 21, path: '/metadata/author', code: 'unknown_key' },
        { line: 3, column: 54, path: '/nodes/start/params/key', code: 'inexact_number' },
        { line: 4, column: 3, path: '/nodes/orphan', detail: "node 'orphan' cannot be reached from 'start'" },
      ],
    })
  })
})

describe('the start of a flow', () => {
  it('is the node that no edge leads to', () => {
    expect(graphOf(flow(`  b: ${step}\n  a: {type: condition, next: {yes: b, no: b}}`)).start).toBe('a')
  })

  it('may lead into a circle', () => {
    expect(
      graphOf(
        flow(
          '  a: {type: condition, next: {default: b}}\n  b: {type: condition, next: {again: b, more: a2}}\n  a2: {type: condition, next: {default: b}}',
        ),
      ).start,
    ).toBe('a')
  })

  it('is the node named start, even inside a circle or beside others', () => {
    const circle = '  a: {type: condition, next: {default: start}}\n  start: {type: condition, next: {default: a}}'
    expect(graphOf(flow(circle)).start).toBe('start')
    expect(graphOf(flow(`${circle}\n  other: ${step}`)).start).toBe('start')
  })

  it.each([
    [flow(`  a: ${step}\n  b: ${step}`), "2:1 /nodes multiple start nodes found: 'a' and 'b'"],
    [flow(`  a: ${step}\n  b: ${step}\n  c: ${step}`), "2:1 /nodes multiple start nodes found: 'a', 'b' and 'c'"],
    [
      flow('  a: {type: condition, next: {default: b}}\n  b: {type: condition, next: {default: a}}'),
      '2:1 /nodes no start node found',
    ],
    [flow('  a: {type: condition, next: {default: a}}'), '2:1 /nodes no start node found'],
  ])('refuses %j', (definition, fault) => {
    expect(told(definition)).toEqual([fault])
  })

  it('refuses a circle that nothing leads into', () => {
    const rest = '  x: {type: condition, next: {default: y}}\n  y: {type: condition, next: {default: x}}'
    expect(told(flow(`  start: ${step}\n${rest}`))).toEqual([
      "4:3 /nodes/x node 'x' cannot be reached from 'start'",
      "5:3 /nodes/y node 'y' cannot be reached from 'start'",
    ])
    expect(told(flow(`  first: ${step}\n${rest}`))).toEqual([
      "4:3 /nodes/x node 'x' cannot be reached from 'first'",
      "5:3 /nodes/y node 'y' cannot be reached from 'first'",
    ])
  })
})

describe('faults', () => {
  it.each([
    ['an empty text', '', ['1:1 /metadata/name flow name is required', '1:1 /nodes flow must have at least one node']],
    [
      'an empty mapping',
      '{}',
      ['1:1 /metadata/name flow name is required', '1:1 /nodes flow must have at least one node'],
    ],
    ['no name', `metadata:\nnodes: {a: ${step}}`, ['1:1 /metadata/name flow name is required']],
    ['an empty name', `metadata:\n  name: "  "\nnodes: {a: ${step}}`, ['2:9 /metadata/name flow name is required']],
    [
      'a name that is a list',
      `metadata:\n  name: [a]\nnodes: {a: ${step}}`,
      ['2:9 /metadata/name flow name must be a text'],
    ],
    ['no nodes', 'metadata: {name: a}\nnodes: {}', ['2:8 /nodes flow must have at least one node']],
    [
      'nodes as a list',
      'metadata: {name: a}\nnodes: [a]',
      ['2:8 /nodes nodes must be a mapping of node names to nodes'],
    ],
    ['a list', '- a', ["1:1  invalid YAML: a flow definition is a mapping with 'metadata' and 'nodes'"]],
    [
      'a strange top-level key',
      `metadata: {name: a}\nstages: []\nx-y: 1\nnodes: {a: ${step}}`,
      ["2:1 /stages unknown key 'stages' (a flow has 'metadata' and 'nodes'; keys of your own start with 'x-' or '.')"],
    ],
  ])('of %s', (_, definition, faults) => {
    expect(told(definition)).toEqual(faults)
  })

  it.each([
    ['{type: frobnicate}', "3:13 /nodes/a/type unknown node type 'frobnicate' in node 'a'"],
    ['{}', "3:3 /nodes/a/type node 'a' has no type"],
    ['', "3:3 /nodes/a/type node 'a' has no type"],
    ['{type: 7}', "3:13 /nodes/a/type the type of node 'a' must be a text"],
    ['[1]', "3:6 /nodes/a node 'a' must be a mapping"],
    [
      '{type: condition, nxt: {}}',
      "3:24 /nodes/a/nxt unknown key 'nxt' in node 'a' (known: type, params, next, batch, retry, hooks, x-guarantee)",
    ],
    ['{type: condition, params: [1]}', "3:32 /nodes/a/params params of node 'a' must be a mapping"],
    ['{type: condition, next: b}', "3:30 /nodes/a/next next of node 'a' must be a mapping"],
    [
      '{type: condition, next: {default: }}',
      "3:31 /nodes/a/next/default next of node 'a' must name a node for action 'default'",
    ],
    [
      '{type: condition, next: {default: b}}',
      "3:40 /nodes/a/next/default node 'a' references non-existent node 'b' for action 'default'",
    ],
    [
      '{type: condition, batch: {}}',
      "3:24 /nodes/a/batch/strategy batch of node 'a' has no strategy (serial, async, parallel, worker_pool)",
    ],
    [
      '{type: condition, batch: {strategy: all}}',
      "3:42 /nodes/a/batch/strategy batch strategy of node 'a' must be one of serial, async, parallel, worker_pool",
    ],
    [
      '{type: condition, batch: {strategy: async, max_parallel: 0}}',
      "3:63 /nodes/a/batch/max_parallel batch max_parallel of node 'a' must be a whole number of at least 1",
    ],
    [
      '{type: condition, retry: {max_retries: -1}}',
      "3:45 /nodes/a/retry/max_retries retry max_retries of node 'a' must be a whole number of at least 0",
    ],
    [
      '{type: condition, retry: {max_retries: 2.5}}',
      "3:45 /nodes/a/retry/max_retries retry max_retries of node 'a' must be a whole number of at least 0",
    ],
    [
      '{type: condition, retry: {wait: 1.5s}}',
      "3:38 /nodes/a/retry/wait retry wait of node 'a' must be a whole number with a unit (ns, us, ms, s, m, h), such as 5s",
    ],
    [
      '{type: condition, retry: {wait: 5}}',
      "3:38 /nodes/a/retry/wait retry wait of node 'a' must be a whole number with a unit (ns, us, ms, s, m, h), such as 5s",
    ],
    [
      '{type: condition, retry: {wait: 9999999999h}}',
      "3:38 /nodes/a/retry/wait retry wait of node 'a' may be at most 8760h",
    ],
    [
      '{type: condition, hooks: {prep: [1]}}',
      "3:38 /nodes/a/hooks/prep hook prep of node 'a' must be a text with JavaScript",
    ],
    [
      '{type: condition, hooks: {after: x}}',
      "3:32 /nodes/a/hooks/after unknown key 'after' in hooks of node 'a' (known: prep, exec, post)",
    ],
    [
      '{type: condition, batch: {strategy: serial, x-collect: 1}}',
      "3:61 /nodes/a/batch/x-collect batch x-collect of node 'a' must be true or false",
    ],
    [
      '{type: llm, params: {api_key: k, model: m}, x-guarantee: twice}',
      "3:63 /nodes/a/x-guarantee x-guarantee of node 'a' must be at_most_once",
    ],
    [
      '{type: condition, x-guarantee: at_most_once}',
      "3:37 /nodes/a/x-guarantee x-guarantee of node 'a' is of no use: this condition step has no effect outside, so that it may run again unseen",
    ],
    [
      '{type: store, params: {operation: set}, x-guarantee: at_most_once}',
      "3:59 /nodes/a/x-guarantee x-guarantee of node 'a' is of no use: this store step takes effect exactly once",
    ],
    [
      '{type: notification, hooks: {exec: 1 + 1}, x-guarantee: at_most_once}',
      "3:62 /nodes/a/x-guarantee x-guarantee of node 'a' is of no use: its exec hook stands in for the work, and has no effect outside",
    ],
    ['{type: http.request}', "3:3 /nodes/a/params/url node 'a': url is required"],
    ['{type: http.request, params: {method: GET}}', "3:27 /nodes/a/params/url node 'a': url is required"],
    ['{type: http.request, params: {url: 7}}', "3:41 /nodes/a/params/url node 'a': url must be a text"],
  ])('of a node %s', (node, fault) => {
    expect(told(flow(`  a: ${node}`))).toContain(fault)
    expect(told(flow(`  a: ${node}`)).filter((line) => !line.includes('multiple start'))).toHaveLength(1)
  })

  it.each([
    ['"${input[\'}\'"', 1],
    ["'https://x.test/${input.id'", 1],
    ["'${input.id} and ${'", 1],
    ['\'${ {a: 1}.a } ${"}"} ${`${1}`}\'', 0],
    ["'price: $5 {not} $ {code}'", 0],
    ["{'k${': 1}", 1],
    ["[['${a']]", 1],
  ])('of expressions in %s: %i', (value, count) => {
    const faults = faultsOf(flow(`  a: {type: store, params: {operation: set, value: ${value}}}`))
    expect(faults.map(({ code }) => code)).toEqual(Array(count).fill('expression'))
  })

  it('leave the code of scripts alone', () => {
    expect(told(flow("  a: {type: transform, params: {script: 'return `${'}}"))).toEqual([])
  })

  it.each([
    ['"\\u0007"', "the name of node '\\u0007' holds a control character"],
    ['""', 'a node name must not be empty'],
    ['x'.repeat(129), `the name of node '${'x'.repeat(128)}…' is longer than 128 characters`],
  ])('of the node name %s', (name, detail) => {
    expect(faultsOf(flow(`  ${name}: ${step}`))).toMatchObject([{ detail, code: 'node_name', line: 3, column: 3 }])
  })

  it.each(['Ünïcode 名前 🎉', 'a/b~c', 'step [1]', "it's", 'x'.repeat(128)])('spare the node name %s', (name) => {
    expect(graphOf(flow(`  ${JSON.stringify(name)}: ${step}`)).start).toBe(name)
  })

  it('spare the list of a batch, unless it can be none', () => {
    const node = (items: string) =>
      flow(`  a: {type: http.request, params: {url: x, items: ${items}}, batch: {strategy: async}}`)
    expect(graphOf(node('[1, 2]')).nodes.get('a')?.params).toEqual({ url: 'x', items: [1, 2] })
    expect(told(node("'${input.list}'"))).toEqual([])
    expect(told(node('many'))).toEqual([
      "3:51 /nodes/a/params/items items of node 'a' must be a list, or an expression for one",
    ])
  })

  it('spare parameters that hooks supply or do without', () => {
    const node = (params: string, hook: string) =>
      flow(`  a: {type: http.request, params: ${params}, hooks: {${hook}: 'return 1'}}`)
    expect(told(node('{}', 'post'))).toEqual(["3:27 /nodes/a/params/url node 'a': url is required"])
    expect(told(node('{}', 'prep'))).toEqual([])
    expect(told(node('{url: 1}', 'prep'))).toEqual(["3:41 /nodes/a/params/url node 'a': url must be a text"])
    expect(told(node('{url: 1}', 'exec'))).toEqual([])
  })

  it('all come at once, in the order of the text', () => {
    const definition = `metadata:
  version: [1]
stages: 3
nodes:
  "fetch data":
    type: 'http.reqest'
    params:
      url: https://a.test/\${input.id
    next:
      default: tranform
      "error/x": 'halt'
  transform:
    kind: transform
    retry: { max_retries: many, wait: soon }
    next: {default: end}
  end:
    type: webhook
    params: &none {}
  notify:
    type: webhook
    params: *none
    batch:
      strategy: all
`
    expect(told(definition)).toEqual([
      '1:1 /metadata/name flow name is required',
      '2:12 /metadata/version flow version must be a text',
      "3:1 /stages unknown key 'stages' (a flow has 'metadata' and 'nodes'; keys of your own start with 'x-' or '.')",
      "4:1 /nodes multiple start nodes found: 'fetch data', 'transform' and 'notify'",
      "6:11 /nodes/fetch data/type unknown node type 'http.reqest' in node 'fetch data'",
      "10:16 /nodes/fetch data/next/default node 'fetch data' references non-existent node 'tranform' for action 'default'",
      "11:18 /nodes/fetch data/next/error~1x node 'fetch data' references non-existent node 'halt' for action 'error/x'",
      "12:3 /nodes/transform/type node 'transform' has no type",
      "13:5 /nodes/transform/kind unknown key 'kind' in node 'transform' (known: type, params, next, batch, retry, hooks, x-guarantee)",
      "14:27 /nodes/transform/retry/max_retries retry max_retries of node 'transform' must be a whole number of at least 0",
      "14:39 /nodes/transform/retry/wait retry wait of node 'transform' must be a whole number with a unit (ns, us, ms, s, m, h), such as 5s",
      "18:5 /nodes/end/params/url node 'end': url is required",
      "21:5 /nodes/notify/params/url node 'notify': url is required",
      "23:17 /nodes/notify/batch/strategy batch strategy of node 'notify' must be one of serial, async, parallel, worker_pool",
    ])
  })

  it('inside what an alias stands for point at the anchored text, at the alias itself where that is wrong', () => {
    const definition = `x-retry: &often
  max_retries: -1
metadata: {name: a}
nodes:
  a: {type: condition, retry: *often, params: &list [1], next: {default: b}}
  b: {type: condition, retry: *often, params: *list}
`
    expect(told(definition).map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      '2:16 /nodes/a/retry/max_retries',
      '2:16 /nodes/b/retry/max_retries',
      '5:53 /nodes/a/params',
      '6:47 /nodes/b/params',
    ])
  })

  it('become an answer that points into the request and into the definition', () => {
    const error = toDomainError(faultsOf(flow('  a: {type: nope, next: {default: b}}')))
    expect(error).toBeInstanceOf(DomainError)
    expect(error).toMatchObject({ kind: 'unprocessable', slug: 'validation-error' })
    expect(error.message).toBe("The flow definition is invalid: unknown node type 'nope' in node 'a' (and 1 more)")
    expect(error.faults[1]).toEqual({
      pointer: '#/definition',
      detail: "node 'a' references non-existent node 'b' for action 'default'",
      code: 'unknown_node',
      path: '/nodes/a/next/default',
      line: 3,
      column: 35,
    })
  })
})
