import { describe, expect, it } from 'vitest'
import { graphOf, interpret, stepType } from './flow.fake.js'
import { FakeHost, FakeJournal } from './host.fake.js'
import { OutputBudget } from './output-budget.js'

const options = { maxOutputChars: 1_000 }
const TOO_LARGE = {
  code: 'outputs_too_large',
  message: 'the outputs of all nodes are larger than 1000 characters together',
}
const text = (length: number) => ({ type: 'echo', params: { value: 'x'.repeat(length) } })

describe('the outputs of a run', () => {
  it('may have so many characters together, whichever nodes they are of', async () => {
    const graph = (last: number) =>
      graphOf({
        a: { ...text(400), next: { default: 'b' } },
        b: { ...text(400), next: { default: 'c' } },
        c: text(last),
      })
    expect(await interpret(graph(100), { options })).toMatchObject({ state: 'completed' })
    expect(await interpret(graph(300), { options })).toMatchObject({
      state: 'failed',
      error: { ...TOO_LARGE, node: 'c' },
    })
  })

  it('count in a loop each time, and failing is as any failure', async () => {
    const loop = graphOf({
      a: { ...text(200), next: { default: 'a', error: 'end' } },
      end: { type: 'echo', params: { value: 'over' } },
    })
    const host = new FakeHost()
    expect(await interpret(loop, { host, options })).toMatchObject({ state: 'completed', result: { result: 'over' } })
    expect(host.journal.outcomes.filter(({ node }) => node === 'a').map(({ state }) => state)).toEqual([
      ...Array(4).fill('succeeded'),
      'failed',
    ])
  })

  it.each(['serial', 'parallel'] as const)('count item by item in a batch: %s', async (strategy) => {
    const graph = graphOf({
      a: { ...text(100), batch: { strategy, maxParallel: 64 }, retry: { maxAttempts: 5, waitMs: 0 } },
    })
    const ending = await interpret(graph, { input: Array.from({ length: 50 }, (_, index) => index), options })
    expect(ending).toMatchObject({ state: 'failed', error: TOO_LARGE })
  })

  it('count what came before an interruption', async () => {
    const journal = new FakeJournal()
    const first = graphOf({ a: { ...text(600), next: { default: 'b' } }, b: { type: 'signal', params: { key: 'k' } } })
    expect(await interpret(first, { host: new FakeHost({ journal, parks: true }), options })).toEqual({
      state: 'parked',
    })
    const then = graphOf({ a: { ...text(600), next: { default: 'b' } }, b: text(500) })
    expect(await interpret(then, { host: new FakeHost({ journal }), options })).toMatchObject({ error: TOO_LARGE })
  })

  it('count what failures carry; one that is too large goes without', async () => {
    const failing = (length: number) =>
      graphOf({
        a: { type: 'fail', params: { output: 'x'.repeat(length) }, next: { error: 'b' } },
        b: { type: 'echo', params: {} },
      })
    const output = async (length: number) => {
      const ending = await interpret(failing(length), { options: { maxOutputChars: 2_000 } })
      return ending.state === 'completed' ? (ending.result as { output?: string }).output?.length : ending
    }
    expect(await output(500)).toBe(500)
    expect(await output(2_500)).toBeUndefined()
  })

  it('are not kept of attempts that are followed by another', async () => {
    const journal = new FakeJournal()
    const graph = graphOf({
      a: { type: 'fail', params: { output: 'x'.repeat(400) }, retry: { maxAttempts: 20, waitMs: 0 } },
    })
    await interpret(graph, { host: new FakeHost({ journal }), options })
    const kept = journal.outcomes.map(({ state, error }) => [state, error?.output === undefined])
    expect(kept).toEqual([...Array(19).fill(['retrying', true]), ['failed', false]])
  })

  it('have the weight of all that they hold', () => {
    const small = new OutputBudget(100)
    expect(small.affords({ a: [1, 2, 3], b: { c: null } })).toBe(true)
    expect(new OutputBudget(100).affords(Array(20).fill(null))).toBe(false)
    expect(new OutputBudget(100).affords({ ['n'.repeat(101)]: 1 })).toBe(false)
    expect(new OutputBudget(100).affords(undefined, undefined)).toBe(true)
  })

  it('leave other runs alone', async () => {
    const steps = [stepType('large', () => ({ output: 'x'.repeat(900) }))]
    const graph = graphOf({ a: { type: 'large' } })
    const endings = await Promise.all([interpret(graph, { steps, options }), interpret(graph, { steps, options })])
    expect(endings.map(({ state }) => state)).toEqual(['completed', 'completed'])
  })
})
