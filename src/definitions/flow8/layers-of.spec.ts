import { expect, test } from 'vitest'
import { compile as compileFlowRunner } from '../flowrunner/index.js'
import { fakeStepTypes } from '../step-types.fake.js'
import { compiled } from './flow.fake.js'
import { layersOf } from './layers-of.js'

function layersFrom(nodes: string) {
  const compilation = compileFlowRunner(`metadata: {name: X}\nnodes:\n${nodes}`, fakeStepTypes)
  if (!compilation.ok) throw new Error(compilation.faults[0]?.detail)
  return layersOf(compilation.graph)
}

test('a chain of nodes is a list of layers', () => {
  const nodes = [
    '  start: {type: http.request, params: {url: "https://x/${input.id}"}, next: {default: shape}, retry: {max_retries: 3, wait: 5s}}',
    '  shape: {type: transform, params: {script: "return 1"}}',
  ]
  expect(layersFrom(nodes.join('\n'))).toEqual({
    layers: [
      {
        id: 'start',
        name: 'start',
        ref: 'start',
        appId: 'http.request',
        index: 0,
        args: { url: 'https://x/${input.id}' },
        retry: { count: 2, delayMs: 5000, backoffMultiplier: 1, jitter: false },
      },
      { id: 'shape', name: 'shape', ref: 'shape', appId: 'transform', index: 1, args: { script: 'return 1' } },
    ],
  })
})

test.each([
  [
    '  start: {type: delay, params: {duration: 1s}, next: {default: a, error: a}}\n  a: {type: delay, params: {duration: 1s}}',
    "node 'start' leads on by its action ('error')",
  ],
  [
    '  start: {type: delay, params: {duration: 1s}, next: {default: a}}\n  a: {type: delay, params: {duration: 1s}, next: {default: start}}',
    "the flow comes back to node 'start'",
  ],
  [
    '  start: {type: delay, params: {duration: 1s}, batch: {strategy: serial}}',
    "node 'start' runs once for each item of a batch",
  ],
  ['  start: {type: delay, params: {duration: 1s}, hooks: {prep: "1"}}', "node 'start' has hooks"],
  [
    '  start: {type: delay, params: {duration: 1s}}\n  other: {type: delay, params: {duration: 1s}}',
    "node 'other' stands beside the way from the start",
  ],
])('%#: what cannot be said in layers is said in a sentence', (nodes, reason) => {
  expect(layersFrom(nodes)).toEqual({ reason })
})

test('a flow of nothing has no layers', () => {
  const compilation = compiled()
  expect(compilation.ok && layersOf(compilation.graph)).toEqual({ layers: [] })
})
