import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { graphOf, interpret, Later, stepType } from './flow.fake.js'
import { FakeHost } from './host.fake.js'
import { GRACE_MS } from './stopping.js'

const rejections: unknown[] = []
const note = (reason: unknown) => rejections.push(reason)

beforeEach(() => {
  rejections.length = 0
  process.on('unhandledRejection', note)
})

afterEach(async () => {
  await new Promise(setImmediate)
  process.off('unhandledRejection', note)
  expect(rejections).toEqual([])
})

/** A flow that passes every kind of waiting: parameters, hooks, steps, sleeps, retries, batches, effects, loops. */
const everything = graphOf({
  first: { type: 'echo', params: { value: '${input + 1}' }, next: { default: 'hooked' } },
  hooked: {
    type: 'code',
    params: { script: 'return input' },
    hooks: { prep: 'context.a = 1', post: 'return result' },
    next: { default: 'nap' },
  },
  nap: { type: 'nap', params: { ms: 1_000 }, next: { default: 'flaky' } },
  flaky: { type: 'flaky', params: { failures: 1 }, retry: { maxAttempts: 2, waitMs: 500 }, next: { default: 'each' } },
  each: {
    type: 'flaky',
    params: { items: '${[0, 1, 0].slice(0)}', failures: '${item}' },
    batch: { strategy: 'worker_pool', maxParallel: 2 },
    retry: { maxAttempts: 2, waitMs: 500 },
    next: { default: 'fail' },
  },
  fail: { type: 'fail', next: { error: 'last' } },
  last: { type: 'echo' },
})

/** Aborts at the host's `n`th call: each is a place where an interpretation waits. */
class AbortingHost extends FakeHost {
  calls = 0
  handedInAtAbort?: number
  eventsAtAbort?: number

  constructor(
    private readonly at: number,
    private readonly controller: AbortController,
    private readonly late: boolean,
  ) {
    super()
    this.clock.hurrying = true
    for (const method of ['record', 'sleep', 'secrets', 'evaluate'] as const) {
      const own = this[method].bind(this) as (...args: unknown[]) => Promise<unknown>
      Object.assign(this, { [method]: (...args: unknown[]) => this.around(() => own(...args)) })
    }
  }

  private async around<T>(call: () => Promise<T>): Promise<T> {
    const here = ++this.calls === this.at
    if (here && !this.late) this.abort()
    const result = call()
    // Some microtasks later: when what was asked for is there, or the interpretation is on its way to the next.
    if (here && this.late) void result.then(() => this.abort()).catch(() => {})
    return await result
  }

  private abort(): void {
    this.controller.abort()
    this.handedInAtAbort = this.handedIn.length
    this.eventsAtAbort = this.events.length
  }
}

describe('a cancel', () => {
  it.each([
    ['as the host is asked', false],
    ['as the host answers', true],
  ])('ends the run wherever it comes, %s: nothing is recorded or told after it', async (_, late) => {
    let places = 0
    for (let at = 1; ; at++) {
      const controller = new AbortController()
      const host = new AbortingHost(at, controller, late)
      const ending = await interpret(everything, { host, signal: controller.signal, input: 1 })
      if (!controller.signal.aborted) {
        expect(ending.state).toBe('completed')
        break
      }
      places++
      expect(ending, `cancelled at call ${at}`).toEqual({ state: 'cancelled' })
      await new Promise(setImmediate)
      // The call that was cut into may have been a record itself.
      expect(host.handedIn.length - (host.handedInAtAbort ?? 0), `call ${at}`).toBeLessThanOrEqual(late ? 0 : 1)
      expect(host.events.length, `call ${at}`).toBe(host.eventsAtAbort)
      expect(host.clock.waiting).toBe(0)
    }
    expect(places).toBeGreaterThan(25)
  })

  it('that came before the run began, lets nothing begin', async () => {
    const host = new FakeHost()
    expect(await interpret(everything, { host, signal: AbortSignal.abort() })).toEqual({ state: 'cancelled' })
    expect([host.events, host.handedIn]).toEqual([[], []])
  })

  it('reaches the step in flight, and each of a batch', async () => {
    const cancel = new AbortController()
    const stopped: unknown[] = []
    const started = new Later()
    const waits = stepType('waits', async (_, step) => {
      if (step.input === 4) started.resolve()
      await new Promise((_, reject) => step.signal.addEventListener('abort', () => reject(step.signal.reason)))
      return { output: null }
    })
    const noticing = stepType('noticing', async (params, step) => {
      try {
        return await waits.run(params, step)
      } finally {
        stopped.push(step.input)
      }
    })
    const graph = graphOf({ each: { type: 'noticing', batch: { strategy: 'parallel', maxParallel: 9 } } })
    const host = new FakeHost()
    const ending = interpret(graph, { host, steps: [noticing], input: [1, 2, 3, 4], signal: cancel.signal })
    await started.promise
    cancel.abort()
    expect(await ending).toEqual({ state: 'cancelled' })
    expect(stopped).toEqual([1, 2, 3, 4])
    expect(host.clock.waiting).toBe(0)
  })

  it('leaves a step behind that does not stop in time, and hears nothing more of it', async () => {
    const host = new FakeHost()
    const cancel = new AbortController()
    const started = new Later()
    const end = new Later()
    const stubborn = stepType('stubborn', async (_, step) => {
      started.resolve()
      await end.promise
      step.log('info', 'still here')
      throw new Error('too late')
    })
    const ending = interpret(graphOf({ a: { type: 'stubborn' } }), { host, steps: [stubborn], signal: cancel.signal })
    await started.promise
    cancel.abort()
    await vi.waitFor(() => expect(host.clock.waiting).toBe(1))
    host.clock.advance(GRACE_MS - 1)
    expect(host.clock.waiting).toBe(1)
    host.clock.advance(1)
    expect(await ending).toEqual({ state: 'cancelled' })
    end.resolve()
    await new Promise(setImmediate)
    expect(host.logs()).toEqual(['Run started'])
    expect(host.handedIn).toEqual([])
  })

  it('does not wait for a journal that does not answer', async () => {
    const host = new FakeHost()
    const cancel = new AbortController()
    host.hold()
    const ending = interpret(graphOf({ a: { type: 'echo' } }), { host, signal: cancel.signal })
    await vi.waitFor(() => expect(host.handedIn).toHaveLength(1))
    cancel.abort()
    expect(await ending).toEqual({ state: 'cancelled' })
    host.letGo()
  })
})

describe('after its end a run', () => {
  it('says nothing more, though a step left something running', async () => {
    const host = new FakeHost()
    const later = new Later()
    const careless = stepType('careless', (_, step) => {
      void later.promise.then(() => step.log('info', 'one more thing'))
      return { output: null }
    })
    await interpret(graphOf({ a: { type: 'careless' } }), { host, steps: [careless] })
    later.resolve()
    await new Promise(setImmediate)
    expect(host.logs()).toEqual(['Run started', 'Run completed'])
  })
})
