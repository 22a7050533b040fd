import { describe, expect, it } from 'vitest'
import { graphOf, interpret, resultOf } from './flow.fake.js'
import { FakeHost } from './host.fake.js'

const ECHO = (value: string) => ({ type: 'echo', params: { value } })

describe('where a flow goes after a node', () => {
  it.each([
    ['the edge of its action', 'a', { a: 'one', default: 'two' }, 'one'],
    ['`default` when the action has no edge', 'b', { a: 'one', default: 'two' }, 'two'],
    ['`default` when the action is empty', '', { '': 'one', default: 'two' }, 'one'],
    ['the end when neither has one', 'b', { a: 'one' }, null],
    ['the end, not `error`, after a success', 'b', { error: 'one' }, null],
    ['`error` when that is its action', 'error', { error: 'one' }, 'one'],
  ])('a success follows %s', async (_, to, next, result) => {
    const graph = graphOf({ route: { type: 'route', params: { to }, next }, one: ECHO('one'), two: ECHO('two') })
    expect(resultOf(await interpret(graph))).toEqual({ result })
  })

  it.each([
    ['the edge of its action', { server_error: 'one', error: 'two', default: 'three' }, 'one'],
    ['`error` when the action has no edge', { client_error: 'one', error: 'two', default: 'three' }, 'two'],
  ])('a failure follows %s', async (_, next, result) => {
    const graph = graphOf({
      call: { type: 'fail', params: { action: 'server_error' }, next },
      one: ECHO('one'),
      two: ECHO('two'),
      three: ECHO('three'),
    })
    expect(resultOf(await interpret(graph))).toEqual({ result })
  })

  it('a failure never follows `default` or `success`: the run fails in its words', async () => {
    const host = new FakeHost()
    const message = 'HTTP request failed with status 500'
    const graph = graphOf({
      call: { type: 'fail', params: { message, action: 'server_error' }, next: { default: 'one', success: 'one' } },
      one: ECHO('one'),
    })
    const ending = await interpret(graph, { host })
    expect(ending).toMatchObject({ state: 'failed', error: { message, node: 'call', nodeType: 'fail' } })
    expect(host.logs()).toEqual(['Run started', message, 'Run failed'])
  })

  it('gives the node behind the error edge the failure as input and in `error`', async () => {
    const graph = graphOf({
      call: { type: 'fail', params: { message: 'no', output: { status_code: 500 } }, next: { error: 'tell' } },
      tell: { type: 'echo', params: { input: '${input}', value: ['${input.message}', '${error.output.status_code}'] } },
    })
    expect(resultOf(await interpret(graph))).toEqual({ result: ['no', 500] })
  })

  it('leads an unknown type of an old revision to its error edge, else fails', async () => {
    const gone = { type: 'gone', next: { error: 'tell', default: 'tell' } }
    const led = await interpret(graphOf({ old: gone, tell: { type: 'echo', params: { value: '${error.message}' } } }))
    expect(resultOf(led)).toEqual({ result: "unknown node type 'gone' in node 'old'" })
    const failed = await interpret(graphOf({ old: { type: 'gone' } }))
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'unknown_type', node: 'old' } })
  })

  it('fails where a node is missing', async () => {
    const missing = graphOf({ a: { type: 'echo', next: { default: 'b' } } })
    expect(await interpret(missing)).toMatchObject({ state: 'failed', error: { code: 'unknown_node' } })
    expect(await interpret(missing, { startNode: 'constructor' })).toMatchObject({ state: 'failed' })
  })

  it('starts where it is told to', async () => {
    const graph = graphOf({ a: { ...ECHO('a'), next: { default: 'b' } }, b: { type: 'echo' } })
    expect(resultOf(await interpret(graph, { startNode: 'b', input: { x: 1 } }))).toEqual({ x: 1 })
  })
})

describe('loops', () => {
  const counting = graphOf({
    start: { type: 'code', params: { script: 'return (shared.code_result || 0) + 1' }, next: { default: 'enough' } },
    enough: {
      type: 'route',
      params: { to: '${input >= 3 ? "stop" : "again"}' },
      next: { again: 'start', stop: 'end' },
    },
    end: { type: 'echo' },
  })

  it('number their visits in the path', async () => {
    const host = new FakeHost()
    expect(resultOf(await interpret(counting, { host }))).toEqual({ result: 3 })
    expect(host.journal.paths()).toEqual(['start', 'enough', 'start#2', 'enough#2', 'start#3', 'enough#3', 'end'])
  })

  it('end at the ceiling of steps, exactly', async () => {
    const host = new FakeHost()
    const ending = await interpret(counting, { host, options: { maxSteps: 6 } })
    expect(ending).toMatchObject({ state: 'failed', error: { code: 'step_limit' } })
    expect(host.journal.outcomes).toHaveLength(6)
    expect(await interpret(counting, { options: { maxSteps: 7 } })).toMatchObject({ state: 'completed' })
  })

  it('let a cancel through although they never wait', async () => {
    const cancel = new AbortController()
    const endless = graphOf({ a: { type: 'echo', next: { default: 'a' } } })
    setImmediate(() => cancel.abort())
    const ending = interpret(endless, { signal: cancel.signal, options: { maxSteps: 1_000_000 } })
    expect(await ending).toEqual({ state: 'cancelled' })
  })
})
