import { describe, expect, it } from 'vitest'
import type { Json } from '../platform/json.js'
import { graphOf, interpret, resultOf, stepType } from './flow.fake.js'
import { FakeHost } from './host.fake.js'

describe('what a node sees', () => {
  it('the previous output, the run input at the start, every result, and what was shared', async () => {
    const graph = graphOf({
      first: { type: 'echo', params: { value: { was: '${input.n}' } }, next: { default: 'note' } },
      note: { type: 'share', params: { seen: true }, next: { default: 'script' } },
      script: { type: 'code', params: { script: 'return results.first.was * 2' }, next: { default: 'last' } },
      last: {
        type: 'echo',
        params: {
          value: {
            input: '${input}',
            first: '${results.first.was}',
            shared: '${[shared.n, shared.seen, shared.code_result, shared.result]}',
            result: '${result}',
            error: '${error}',
            runInput: '${runInput.n}',
          },
        },
      },
    })
    expect(resultOf(await interpret(graph, { input: { n: 4 } }))).toEqual({
      input: 8,
      first: 4,
      shared: [4, true, 8, 8],
      result: 8,
      error: null,
      runInput: 4,
    })
  })

  it.each<[Json, Json]>([
    [{ output: 'value' }, { output: 'value' }],
    [[1, 2], { result: [1, 2] }],
    ['text', { result: 'text' }],
    [false, { result: false }],
    [null, { result: null }],
  ])('an output %j ends the run with %j', async (output, result) => {
    expect(resultOf(await interpret(graphOf({ a: { type: 'echo' } }), { input: output }))).toEqual(result)
  })

  it('the item and its index in a batch, also as the step’s own input', async () => {
    const own = stepType('own', (params, step) => ({ output: [params.of ?? null, step.input] }))
    const graph = graphOf({
      each: { type: 'own', params: { of: '${[item, index]}' }, batch: { strategy: 'serial', maxParallel: 1 } },
    })
    expect(resultOf(await interpret(graph, { input: ['a', 'b'], steps: [own] }))).toEqual({
      result: [
        [['a', 0], 'a'],
        [['b', 1], 'b'],
      ],
    })
  })

  it('leaves code parameters as written', async () => {
    const own = stepType('own', (params) => ({ output: params }), { codeParams: ['script'] })
    const graph = graphOf({ a: { type: 'own', params: { script: '${input}', other: '${input}' } } })
    expect(resultOf(await interpret(graph, { input: 1, steps: [own] }))).toEqual({ script: '${input}', other: 1 })
  })

  it('shows a step what it would show to its code', async () => {
    const own = stepType('own', async (_, step) => {
      const { input, nothing = 'unknown' } = await step.variables()
      return { output: [input ?? null, nothing, await step.script('input')] }
    })
    const graph = graphOf({ a: { type: 'own' } })
    expect(resultOf(await interpret(graph, { input: 7, steps: [own] }))).toEqual({ result: [7, 'unknown', 7] })
  })

  it('offers a step the secrets that it names, and no others', async () => {
    const own = stepType('own', async (_, step) => {
      const [known, unknown, inherited] = await Promise.all(['KEY', 'OTHER', 'toString'].map(step.secret))
      return { output: [known?.length ?? null, unknown ?? null, inherited ?? null] }
    })
    const host = new FakeHost({ secrets: { KEY: 'open-sesame' } })
    const graph = graphOf({ a: { type: 'own' } })
    expect(resultOf(await interpret(graph, { host, steps: [own] }))).toEqual({ result: [11, null, null] })
  })
})

describe('expressions', () => {
  it('that are property paths need no sandbox; the others share one evaluation', async () => {
    const host = new FakeHost()
    const graph = graphOf({
      a: { type: 'echo', params: { value: ['${input.n}', '${input.n + 1}', '${shared.n}', '${[index_]}'] } },
    })
    await interpret(graph, { host, input: { n: 1, index_: 0 } })
    expect(host.evaluations.map((evaluation) => evaluation.scripts.map((script) => script.code))).toEqual([
      ['input.n + 1', '[index_]'],
    ])
  })

  it('that fail, fail the step', async () => {
    const graph = graphOf({ a: { type: 'echo', params: { value: '${nowhere.x}' } } })
    expect(await interpret(graph)).toMatchObject({
      state: 'failed',
      error: { message: 'nowhere is not defined', code: 'script_error', node: 'a' },
    })
  })

  it('are held to the schema once they have values, and then not retried', async () => {
    const host = new FakeHost()
    const graph = graphOf({ a: { type: 'echo', params: { n: '${input}' }, retry: { maxAttempts: 3, waitMs: 1 } } })
    const checkParams = (_: unknown, params: { n?: Json }) =>
      typeof params.n === 'number' ? [] : ['n must be a number', 'or else']
    const ending = await interpret(graph, { host, input: 'text', options: { checkParams } })
    expect(ending).toMatchObject({
      state: 'failed',
      error: { message: 'n must be a number; or else', code: 'invalid_params' },
    })
    expect(host.journal.outcomes).toHaveLength(1)
    expect(await interpret(graph, { input: 1, options: { checkParams } })).toMatchObject({ state: 'completed' })
  })

  it('and all scripts of an attempt ask for the secrets once, and not at all where there is no code', async () => {
    const without = new FakeHost()
    await interpret(graphOf({ a: { type: 'echo', params: { value: 1 } } }), { host: without })
    expect(without.secretsAsked).toBe(0)
    const host = new FakeHost({ secrets: { K: 'value-of-k' } })
    const hooks = { prep: 'context.a = 1', post: 'return secrets.K.length' }
    const ending = await interpret(graphOf({ a: { type: 'echo', params: { value: '${1 + 1}' }, hooks } }), { host })
    expect(resultOf(ending)).toEqual({ result: 10 })
    expect(host.secretsAsked).toBe(1)
  })
})

describe('the log', () => {
  it('opens with the start node and closes with the last, and holds what code prints and steps say', async () => {
    const host = new FakeHost()
    const says = stepType('says', (_, step) => {
      step.log('debug', 'said', { n: 1 })
      return { output: null }
    })
    const graph = graphOf({
      a: { type: 'code', params: { script: 'console.log("printed"); return 1' }, next: { default: 'b' } },
      b: { type: 'says' },
    })
    await interpret(graph, { host, steps: [says] })
    expect(host.events.filter((event) => event.type === 'log')).toMatchObject([
      { level: 'info', message: 'Run started', node: 'a', nodeType: 'code' },
      { level: 'info', message: 'printed', node: 'a' },
      { level: 'debug', message: 'said', node: 'b', data: { n: 1 } },
      { level: 'info', message: 'Run completed', node: 'b', nodeType: 'says' },
    ])
    expect(host.events.map((event) => event.type).filter((type) => type !== 'log')).toEqual([
      'node_started',
      'node_completed',
      'node_started',
      'node_completed',
    ])
  })

  it('holds what code printed before it failed', async () => {
    const host = new FakeHost()
    await interpret(
      graphOf({ a: { type: 'code', params: { script: 'console.log("last words"); throw Error("x")' } } }),
      {
        host,
      },
    )
    expect(host.logs()).toEqual(['Run started', 'last words', 'x', 'Run failed'])
  })
})
