import { afterEach, describe, expect, it } from 'vitest'
import type { Json } from '../platform/json.js'
import { type FakeNode, graphOf, interpret, resultOf, stepType } from './flow.fake.js'
import { FakeHost } from './host.fake.js'
import { itemPath, itemsPath, visitPath } from './path.js'

const NAMES = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'prototype', '']

const own = (name: string, value: Json) => JSON.parse(`{${JSON.stringify(name)}: ${JSON.stringify(value)}}`)

afterEach(() => {
  expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  expect(Object.keys(Object.prototype)).toEqual([])
})

describe.each(NAMES)('the name %j', (name) => {
  it('names a node, whose result is its own', async () => {
    const host = new FakeHost()
    const graph = graphOf([
      [name, { type: 'echo', params: { value: { polluted: 1 } }, next: { default: 'end' } }],
      ['end', { type: 'echo', params: { value: `\${Object.entries(results)}` } }],
    ])
    expect(resultOf(await interpret(graph, { host }))).toEqual({ result: [[name, { polluted: 1 }]] })
    const again = new FakeHost({ journal: host.journal.first(1) })
    expect(resultOf(await interpret(graph, { host: again }))).toEqual({ result: [[name, { polluted: 1 }]] })
  })

  it('is an action only where the node has an edge of that name', async () => {
    const route: FakeNode = { type: 'route', params: { to: name } }
    const ends = await interpret(graphOf([['route', route]]), { input: 'ended' })
    expect(resultOf(ends)).toEqual({ result: 'ended' })
    const graph = graphOf([
      ['route', { ...route, next: own(name, 'end') }],
      ['end', { type: 'echo', params: { value: 'led' } }],
    ])
    expect(resultOf(await interpret(graph))).toEqual({ result: 'led' })
  })

  it('is a member of the run’s input, of an output, and of `shared`', async () => {
    const input = own(name, { polluted: 1 })
    const shares = stepType('shares', () => ({
      output: own(name, { polluted: 2 }),
      shared: own(name, { polluted: 3 }),
    }))
    const graph = graphOf({
      first: { type: 'echo', params: { value: '${Object.entries(shared)}' }, next: { default: 'second' } },
      second: { type: 'shares', next: { default: 'third' } },
      third: {
        type: 'echo',
        params: { value: '${[results.first, Object.entries(input), Object.entries(shared).map(([k, v]) => k)]}' },
      },
    })
    const { result } = resultOf(await interpret(graph, { input, steps: [shares] })) as { result: Json[] }
    expect(result[0]).toEqual([[name, { polluted: 1 }]])
    expect(result[1]).toEqual([[name, { polluted: 2 }]])
    expect(result[2]).toEqual([name, 'result'])
  })

  it('passes through hooks as a member', async () => {
    const member = `{${JSON.stringify(name)}: {"polluted": 1}}`
    const graph = graphOf({
      a: { type: 'echo', hooks: { prep: `return JSON.parse(${JSON.stringify(member)})` }, next: { default: 'b' } },
      b: { type: 'echo', params: { value: '${Object.keys(shared)}' } },
    })
    expect(resultOf(await interpret(graph))).toEqual({ result: expect.arrayContaining([name]) })
  })
})

describe('paths', () => {
  it('of different visits never meet, whatever the nodes are called', () => {
    const names = ['a', 'a#2', 'a[0]', 'a[]', 'a%232', 'a.b', 'b', 'a%', 'a%25']
    const paths = names.flatMap((name) =>
      [1, 2, 3].flatMap((visit) => {
        const path = visitPath(name, visit)
        return [path, itemPath(path, 0), itemsPath(path)]
      }),
    )
    expect(new Set(paths).size).toBe(paths.length)
  })

  it('keep the outcomes of a batch and of a node named like its item apart', async () => {
    const host = new FakeHost()
    const graph = graphOf({
      a: {
        type: 'echo',
        params: { value: 'item' },
        batch: { strategy: 'serial', maxParallel: 1 },
        next: { default: 'a[0]' },
      },
      'a[0]': { type: 'echo', params: { value: 'node' }, next: { default: 'end' } },
      end: { type: 'echo', params: { value: '${[results.a, input]}' } },
    })
    expect(resultOf(await interpret(graph, { host, input: [1] }))).toEqual({ result: [['item'], 'node'] })
  })
})
