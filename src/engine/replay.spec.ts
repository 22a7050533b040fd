import { describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../platform/json.js'
import { type FakeNode, graphOf, interpret, stepType } from './flow.fake.js'
import type { Graph } from './graph.js'
import { FakeHost } from './host.fake.js'
import type { StepOutcome } from './host.js'
import type { StepType } from './step.js'

/** Numbers that look random and are the same for the same seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A graph of every kind of step, with loops, dead ends, retries, batches and hooks. */
function randomGraph(seed: number): Graph {
  const next = random(seed)
  const below = (count: number) => Math.floor(next() * count)
  const one = <T>(...choices: readonly T[]) => choices[below(choices.length)] as T
  const names = Array.from({ length: 3 + below(7) }, (_, index) => one(`n${index}`, `n${index}#2`, `n${index}[0]`))
  const edges = () =>
    Object.fromEntries(
      ['default', 'error', 'left', 'right', 'client_error']
        .filter(() => next() < 0.7)
        .map((action) => [action, one(...names)]),
    )
  const anyClass = () => one('counted effect', 'counted transactional', 'counted at_most_once')
  const kinds: (() => FakeNode)[] = [
    () => ({ type: 'counted', params: { value: one<Json>('${input}', '${[input, 1]}', '${shared.mark}', 7) } }),
    () => ({ type: anyClass(), params: { value: '${[result, error && error.message]}' } }),
    () => ({ type: anyClass(), params: { share: one('mark', 'other'), value: below(100) } }),
    () => ({ type: 'counted', params: { action: one('left', 'right', 'nowhere'), value: below(9) } }),
    () => ({ type: 'counted', params: { fails: 99, action: one('client_error', 'unknown') } }),
    () => ({
      type: anyClass(),
      params: { fails: below(4), value: 'after retries' },
      retry: { maxAttempts: 1 + below(3), waitMs: 10 },
    }),
    () => ({ type: 'counted', params: { ms: 1_000, value: '${input}' } }),
    () => ({
      type: one('counted', anyClass()),
      params: {
        ...(next() < 0.6 ? { items: one<Json>('${[1, 2, shared.mark].slice(0)}', [4, 5, 6, 7]) } : {}),
        value: '${[item, index]}',
        ...(next() < 0.5 ? { share: 'mark' } : { failsAt: below(8) }),
      },
      batch: { strategy: one('serial', 'async', 'parallel', 'worker_pool'), maxParallel: 1 + below(3) },
      ...(next() < 0.5 ? { retry: { maxAttempts: 2, waitMs: 10 } } : {}),
    }),
    () => ({
      type: 'counted',
      params: { value: { n: below(50) } },
      hooks: one(
        { prep: 'context.mark = params.value; params.value = {m: 1}' },
        { post: 'result.more = input === null' },
        { exec: 'return [input, shared.mark || null]' },
      ),
    }),
    () => ({ type: 'no such type' }),
  ]
  return graphOf(names.map((name) => [name, { ...one(...kinds)(), next: edges() }] as [string, FakeNode]))
}

/** Step types that count what they do, by path and attempt. */
function counting(done: string[]): StepType[] {
  const run: StepType['run'] = async (params, step) => {
    done.push(`${step.idempotencyKey.slice('run_1:'.length)} ${step.attempt}`)
    if (params.ms) await step.sleepUntil(new Date(step.now().getTime() + Number(params.ms)))
    const failsHere =
      step.attempt <= Number(params.fails ?? 0) || (params.failsAt !== undefined && indexOf(step) === params.failsAt)
    if (failsHere) throw Object.assign(new Error(`failed at attempt ${step.attempt}`))
    const shared: JsonObject | undefined = params.share ? { [String(params.share)]: params.value ?? null } : undefined
    return { output: params.value ?? null, action: params.action as string | undefined, shared }
  }
  const indexOf = (step: { idempotencyKey: string }) => Number(/\[(\d+)\]$/.exec(step.idempotencyKey)?.[1] ?? -1)
  return [
    stepType('counted', run),
    ...(['effect', 'transactional', 'at_most_once'] as const).map((stepClass) =>
      stepType(`counted ${stepClass}`, run, { stepClass }),
    ),
  ]
}

function hostAfter(before: FakeHost, count: number): FakeHost {
  const host = new FakeHost({ journal: before.journal.first(count) })
  host.clock.hurrying = true
  return host
}

const byPath = (outcomes: readonly StepOutcome[]) =>
  outcomes
    .map(({ path, attempt, state, action, output, shared, error }) =>
      JSON.stringify([path, attempt, state, action, output, shared, error]),
    )
    .sort()

const SEEDS = Array.from({ length: 150 }, (_, index) => index + 1)

describe('a run taken up from any prefix of its outcomes', () => {
  it.each(SEEDS)('ends the same and does nothing settled again (seed %i)', async (seed) => {
    const graph = randomGraph(seed)
    const run = { input: { n: seed }, options: { maxSteps: 25 } }
    const whole: string[] = []
    const first = hostAfter(new FakeHost(), 0)
    const ending = await interpret(graph, { ...run, host: first, steps: counting(whole) })
    const { outcomes } = first.journal
    const anyBatchFailed = outcomes.some(({ path, state }) => state === 'failed' && path.endsWith(']'))

    for (let count = 0; count <= outcomes.length; count++) {
      const done: string[] = []
      const host = hostAfter(first, count)
      const again = await interpret(graph, { ...run, host, steps: counting(done) })
      expect(again, `after ${count} outcomes`).toEqual(ending)
      const settled = new Set(outcomes.slice(0, count).map(({ path, attempt }) => `${path} ${attempt}`))
      expect(
        done.filter((attempt) => settled.has(attempt)),
        `repeated after ${count} outcomes`,
      ).toEqual([])
      expect(new Set(host.journal.outcomes.map(({ path, attempt }) => `${path} ${attempt}`)).size).toBe(
        host.journal.outcomes.length,
      )
      // Which items had come how far when one failed is a matter of time; everything else is the same to the letter.
      if (!anyBatchFailed) expect(byPath(host.journal.outcomes)).toEqual(byPath(outcomes))
    }
  })

  it('was tried on flows that end in every way and do everything', async () => {
    const seen = new Set<string>()
    for (const seed of SEEDS) {
      const host = hostAfter(new FakeHost(), 0)
      const ending = await interpret(randomGraph(seed), {
        host,
        input: { n: seed },
        options: { maxSteps: 25 },
        steps: counting([]),
      })
      seen.add(ending.state === 'failed' ? `failed: ${ending.error.code}` : ending.state)
      for (const { path, state } of host.journal.outcomes)
        seen.add(`${path.replace(/^n\d+(%..)?\d?(%..)?/, 'n')} ${state}`.replace(/\d+/, 'i'))
    }
    expect([...seen]).toEqual(
      expect.arrayContaining([
        'completed',
        'failed: step_failed',
        'failed: step_limit',
        'n retrying',
        'n#i succeeded',
        'n[i] failed',
        'n[i] retrying',
        'n[] succeeded',
      ]),
    )
  })
})
