import { describe, expect, it, vi } from 'vitest'
import { graphOf, interpret, resultOf, stepType } from './flow.fake.js'
import { FakeHost, type FakeHostOptions } from './host.fake.js'

const flaky = (failures: number, maxAttempts: number, waitMs = 1_000) =>
  graphOf({ call: { type: 'flaky', params: { failures }, retry: { maxAttempts, waitMs } } })

function hurried(options?: FakeHostOptions): FakeHost {
  const host = new FakeHost(options)
  host.clock.hurrying = true
  return host
}

const SECOND = 1_000

describe('retries', () => {
  it.each([
    [0, 3, 'attempt 1'],
    [2, 3, 'attempt 3'],
    [0, 0, 'attempt 1'],
    [0, 1, 'attempt 1'],
  ])('%i failures, %i attempts in total: %s', async (failures, maxAttempts, result) => {
    expect(resultOf(await interpret(flaky(failures, maxAttempts), { host: hurried() }))).toEqual({ result })
  })

  it.each([
    [1, 0],
    [1, 1],
    [3, 3],
  ])('%i failures, %i attempts in total: failed by the last error', async (failures, maxAttempts) => {
    const ending = await interpret(flaky(failures, maxAttempts), { host: hurried() })
    expect(ending).toMatchObject({ state: 'failed', error: { message: `attempt ${failures} failed` } })
  })

  it('happen only where the node asks for them', async () => {
    const host = hurried()
    await interpret(graphOf({ call: { type: 'flaky', params: { failures: 1 } } }), { host })
    expect(host.journal.outcomes.map(({ state }) => state)).toEqual(['failed'])
  })

  it('are recorded with the time of the next attempt, wait for it, and say so', async () => {
    const host = new FakeHost()
    const start = host.clock.now().getTime()
    const ending = interpret(flaky(1, 3, 5 * SECOND), { host })
    await vi.waitFor(() => expect(host.clock.waiting).toBe(1))
    expect(host.journal.outcomes).toMatchObject([
      {
        path: 'call',
        attempt: 1,
        state: 'retrying',
        dueAt: new Date(start + 5 * SECOND),
        error: { code: 'step_failed' },
      },
    ])
    expect([...host.journal.timers]).toEqual([['call 1 0', new Date(start + 5 * SECOND)]])
    host.clock.advance(5 * SECOND - 1)
    expect(host.clock.waiting).toBe(1)
    host.clock.advance(1)
    expect(await ending).toMatchObject({ state: 'completed' })
    expect(host.journal.outcomes.at(-1)).toMatchObject({ attempt: 2, state: 'succeeded' })
    expect(host.logs()).toContain('Attempt 1 of 3 failed: attempt 1 failed')
  })

  it('go on after a crash in mid-wait with the attempts that are left and the time that is left', async () => {
    const before = new FakeHost()
    const crash = new AbortController()
    const interrupted = interpret(flaky(9, 3, 5 * SECOND), { host: before, signal: crash.signal })
    await vi.waitFor(() => expect(before.clock.waiting).toBe(1))
    before.clock.advance(2 * SECOND)
    crash.abort()
    await interrupted

    const host = new FakeHost({ journal: before.journal, clock: before.clock })
    const ending = interpret(flaky(9, 3, 5 * SECOND), { host })
    await vi.waitFor(() => expect(host.clock.waiting).toBe(1))
    expect(host.handedIn).toEqual([])
    host.clock.advance(3 * SECOND)
    await vi.waitFor(() => expect(host.journal.outcomes).toHaveLength(2))
    await vi.waitFor(() => expect(host.clock.waiting).toBe(1))
    host.clock.advance(5 * SECOND)
    expect(await ending).toMatchObject({ state: 'failed', error: { message: 'attempt 3 failed' } })
    expect(host.journal.outcomes.map(({ attempt, state }) => [attempt, state])).toEqual([
      [1, 'retrying'],
      [2, 'retrying'],
      [3, 'failed'],
    ])
  })

  it('are spared where the step says that they cannot help', async () => {
    const host = hurried()
    const retry = { maxAttempts: 3, waitMs: 1 }
    await interpret(graphOf({ a: { type: 'fail', params: { retryable: false }, retry } }), { host })
    expect(host.journal.outcomes).toMatchObject([{ attempt: 1, state: 'failed' }])
  })

  it('do not mistake the wait between attempts for a sleep of the step', async () => {
    const host = new FakeHost()
    const sleepy = stepType('sleepy', async (_, step) => {
      await step.sleepUntil(new Date(step.now().getTime() + SECOND))
      throw new Error('no use')
    })
    const graph = graphOf({ a: { type: 'sleepy', retry: { maxAttempts: 2, waitMs: 10 * SECOND } } })
    const ending = interpret(graph, { host, steps: [sleepy] })
    for (const ms of [SECOND, 10 * SECOND, SECOND]) {
      await vi.waitFor(() => expect(host.clock.waiting).toBe(1))
      host.clock.advance(ms)
    }
    expect(await ending).toMatchObject({ state: 'failed' })
    expect([...host.journal.timers.keys()]).toEqual(['a 1 1', 'a 1 0', 'a 2 1'])
  })

  it('carry the same idempotency key, in characters that a header can hold', async () => {
    const keys: string[] = []
    const call = stepType('call', (_, step) => {
      keys.push(step.idempotencyKey)
      throw new Error('again')
    })
    const retry = { maxAttempts: 2, waitMs: 1 }
    const graph = graphOf([['größe 步', { type: 'call', retry, batch: { strategy: 'serial', maxParallel: 1 } }]])
    await interpret(graph, { host: hurried(), steps: [call], input: [1] })
    expect(keys).toHaveLength(2)
    expect(new Set(keys)).toEqual(new Set(['run_1:gr%C3%B6%C3%9Fe%20%E6%AD%A5[0]']))
  })

  it('report whatever was thrown', async () => {
    const odd = stepType('odd', () => {
      throw Object.create(null)
    })
    expect(await interpret(graphOf({ a: { type: 'odd' } }), { steps: [odd] })).toMatchObject({ state: 'failed' })
  })
})

describe('a host that fails', () => {
  it('ends the interpretation instead of failing the step', async () => {
    const host = new FakeHost()
    host.broken.secrets = new Error('the database is away')
    const graph = graphOf({
      a: { type: 'echo', params: { value: '${input}' }, retry: { maxAttempts: 3, waitMs: 1 }, next: { error: 'b' } },
      b: { type: 'echo' },
    })
    await expect(interpret(graph, { host })).rejects.toThrow('the database is away')
    expect(host.handedIn).toEqual([])
  })

  it('does so even where the step would make something of it', async () => {
    const host = new FakeHost()
    host.broken.sleep = new Error('the database is away')
    const brave = stepType('brave', async (_, step) => {
      await step.sleepUntil(step.now()).catch(() => {})
      return { output: 'slept well' }
    })
    await expect(interpret(graphOf({ a: { type: 'brave' } }), { host, steps: [brave] })).rejects.toThrow('is away')
    expect(host.handedIn).toEqual([])
  })
})
