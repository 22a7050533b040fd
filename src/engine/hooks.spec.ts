import { describe, expect, it } from 'vitest'
import { graphOf, interpret, resultOf, stepType } from './flow.fake.js'
import type { Hooks } from './graph.js'
import { FakeHost } from './host.fake.js'

/** Runs a node whose step answers its parameters, then one that answers `shared`. */
async function run(hooks: Hooks, input = {}) {
  const params = stepType('params', (given) => ({ output: given }))
  const host = new FakeHost()
  const graph = graphOf({
    a: { type: 'params', params: { url: 'http://a', n: 1 }, hooks, next: { default: 'b' } },
    b: { type: 'echo', params: { value: { output: '${results.a}', shared: '${shared}' } } },
  })
  const ending = await interpret(graph, { host, steps: [params], input })
  const { output, shared } = resultOf(ending) as { output: unknown; shared: Record<string, unknown> }
  const { result: _, ...added } = shared
  return { output, shared: added, host }
}

describe('prep', () => {
  it.each([
    ['changes params in place', 'params.n = 2', { url: 'http://a', n: 2 }, {}],
    ['changes params by assignment', 'params = {n: 3}; return null', { n: 3 }, {}],
    ['returns params', 'return {params: {n: 4}}', { url: 'http://a', n: 4 }, {}],
    ['changes context in place', 'context.seen = true', { url: 'http://a', n: 1 }, { seen: true }],
    ['returns context', 'return {context: {seen: 1}}', { url: 'http://a', n: 1 }, { seen: 1 }],
    ['returns any other object', 'return {seen: 2}', { url: 'http://a', n: 1 }, { seen: 2 }],
    ['returns the whole context', 'context.seen = 3; return context', { url: 'http://a', n: 1 }, { seen: 3 }],
    ['ends with an assignment of an object', 'context.user = {id: 7}', { url: 'http://a', n: 1 }, { user: { id: 7 } }],
    ['returns nothing of use', 'return 5', { url: 'http://a', n: 1 }, {}],
  ])('%s', async (_, prep, output, shared) => {
    expect(await run({ prep })).toMatchObject({ output, shared })
    expect(Object.keys((await run({ prep })).shared)).toEqual(Object.keys(shared))
  })

  it('does not let a run’s input pass for parameters', async () => {
    const { output } = await run({ prep: 'return context' }, { params: { url: 'http://evil' } })
    expect(output).toEqual({ url: 'http://a', n: 1 })
  })

  it('shows what it left in the context to the step’s own code as `shared`', async () => {
    const graph = graphOf({
      a: { type: 'code', params: { script: 'return shared.from + shared.n' }, hooks: { prep: 'context.from = 1' } },
    })
    expect(resultOf(await interpret(graph, { input: { n: 2 } }))).toEqual({ result: 3 })
  })
})

describe('exec', () => {
  it('replaces the work, and sees params and context', async () => {
    const { output, host } = await run(
      { prep: 'context.k = 5', exec: 'return [params.n, context.k, context.i]' },
      { i: 6 },
    )
    expect(output).toEqual([1, 5, 6])
    expect(host.journal.outcomes[0]?.action).toBeUndefined()
  })

  it('needs no valid parameters, since no step is given them', async () => {
    const graph = graphOf({ a: { type: 'fail', hooks: { exec: '41 + 1' } } })
    expect(resultOf(await interpret(graph, { options: { checkParams: () => ['bad'] } }))).toEqual({ result: 42 })
  })
})

describe('post', () => {
  it.each([
    ['returns a changed result', 'return {...result, extra: 1}', { url: 'http://a', n: 1, extra: 1 }],
    ['changes the result in place', 'result.extra = {a: 1}', { url: 'http://a', n: 1, extra: { a: 1 } }],
    ['is an expression', '[result.n]', [1]],
    ['returns nothing', 'console.log(result.n); return', { url: 'http://a', n: 1 }],
    ['changes the context only', 'context.done = true', { url: 'http://a', n: 1 }],
  ])('%s', async (_, post, output) => {
    expect((await run({ post })).output).toEqual(output)
  })

  it('may share as well', async () => {
    expect((await run({ post: 'context.done = result.n; return result' })).shared).toEqual({ done: 1 })
  })
})

describe('all hooks', () => {
  it('keep the action of the work between them', async () => {
    const graph = graphOf({
      a: { type: 'route', params: { to: 'x' }, hooks: { post: 'return "posted"' }, next: { x: 'b' } },
      b: { type: 'echo' },
    })
    expect(resultOf(await interpret(graph))).toEqual({ result: 'posted' })
  })

  it('fail the step when they throw, and are retried with it', async () => {
    const host = new FakeHost()
    host.clock.hurrying = true
    const hooks = { prep: 'throw new Error("not ready")' }
    const graph = graphOf({ a: { type: 'echo', hooks, retry: { maxAttempts: 2, waitMs: 10 } } })
    expect(await interpret(graph, { host })).toMatchObject({ state: 'failed', error: { message: 'not ready' } })
    expect(host.journal.outcomes.map((outcome) => outcome.state)).toEqual(['retrying', 'failed'])
  })

  it('start anew from the node’s own parameters with each attempt and item', async () => {
    const graph = graphOf({
      a: {
        type: 'echo',
        params: { value: [] },
        hooks: { prep: 'params.value.push(item)' },
        batch: { strategy: 'serial', maxParallel: 1 },
      },
    })
    expect(resultOf(await interpret(graph, { input: [1, 2] }))).toEqual({ result: [[1], [2]] })
  })
})
