import { describe, expect, it, vi } from 'vitest'
import type { JsonObject } from '../platform/json.js'
import { type FakeNode, graphOf, interpret, Later, resultOf, stepType } from './flow.fake.js'
import { FakeHost, FakeTransaction } from './host.fake.js'
import { type StepContext, StepError } from './step.js'

/** A step whose effects are counted, by the key that it would send. */
class Effects {
  readonly done: string[] = []
  /** Called in the middle of each, after its effect. */
  middle: (step: StepContext) => Promise<unknown> | unknown = () => undefined

  type(stepClass: 'effect' | 'at_most_once' | 'pure') {
    return stepType(
      stepClass,
      async (_, step) => {
        this.done.push(`${step.idempotencyKey} ${step.attempt}`)
        await this.middle(step)
        return { output: this.done.length }
      },
      { stepClass },
    )
  }

  /** Writes in the transaction that it is given. */
  writer() {
    return stepType(
      'write',
      async (params: JsonObject, step) => {
        FakeTransaction.of(step).writes.push(() => this.done.push(`${step.idempotencyKey} ${step.attempt}`))
        await this.middle(step)
        if (params.fails) throw new Error('it failed')
        return { output: 'written' }
      },
      { stepClass: 'transactional' },
    )
  }
}

/** A host after a crash: what is in the journal, and nothing else. */
const afterCrash = (host: FakeHost) => new FakeHost({ journal: host.journal })
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index)

describe('a transactional step', () => {
  const graph = graphOf({
    before: { type: 'echo', params: { value: 1 }, next: { default: 'write' } },
    write: { type: 'write', next: { default: 'after' } },
    after: { type: 'echo' },
  })

  it('takes effect together with its outcome, which is recorded once', async () => {
    const effects = new Effects()
    const host = new FakeHost()
    expect(resultOf(await interpret(graph, { host, steps: [effects.writer()] }))).toEqual({ result: 'written' })
    expect(effects.done).toEqual(['run_1:write 1'])
    expect(host.journal.paths()).toEqual(['before', 'write', 'after'])
  })

  it('starts when everything before it is durable', async () => {
    const effects = new Effects()
    const started = vi.fn()
    effects.middle = started
    const host = new FakeHost()
    host.hold()
    const ending = interpret(graph, { host, steps: [effects.writer()] })
    await vi.waitFor(() => expect(host.handedIn).toHaveLength(1))
    await new Promise(setImmediate)
    expect(started).not.toHaveBeenCalled()
    host.letGo()
    expect(await ending).toMatchObject({ state: 'completed' })
    expect(started).toHaveBeenCalledOnce()
  })

  it('is not repeated when the process is lost right after the commit', async () => {
    const effects = new Effects()
    const host = new FakeHost()
    host.broken.afterCommit = new Error('lost')
    await expect(interpret(graph, { host, steps: [effects.writer()] })).rejects.toThrow('lost')
    const ending = await interpret(graph, { host: afterCrash(host), steps: [effects.writer()] })
    expect(resultOf(ending)).toEqual({ result: 'written' })
    expect(effects.done).toEqual(['run_1:write 1'])
  })

  it('takes no effect when it fails, and is tried again', async () => {
    const effects = new Effects()
    effects.middle = (step) => {
      if (step.attempt < 3) throw new Error('not yet')
    }
    const host = new FakeHost()
    host.clock.hurrying = true
    const retried = graphOf({ write: { type: 'write', retry: { maxAttempts: 3, waitMs: 10 } } })
    expect(resultOf(await interpret(retried, { host, steps: [effects.writer()] }))).toEqual({ result: 'written' })
    expect(effects.done).toEqual(['run_1:write 3'])
    expect(host.journal.outcomes.map(({ state, attempt }) => [state, attempt])).toEqual([
      ['retrying', 1],
      ['retrying', 2],
      ['succeeded', 3],
    ])
  })

  it('takes no effect when a hook after it fails', async () => {
    const effects = new Effects()
    const hooked = graphOf({
      write: { type: 'write', hooks: { post: 'throw new Error("no")' }, next: { error: 'after' } },
      after: { type: 'echo', params: { value: '${error.message}' } },
    })
    expect(resultOf(await interpret(hooked, { steps: [effects.writer()] }))).toEqual({ result: 'no' })
    expect(effects.done).toEqual([])
  })

  it('is begun again from where it began when its transaction comes to nothing', async () => {
    const effects = new Effects()
    const host = new FakeHost()
    host.lostTransactions = 2
    const hooked = graphOf({
      write: {
        type: 'write',
        hooks: { prep: 'context.count = 1', post: 'context.count = context.count + 1' },
        next: { default: 'after' },
      },
      after: { type: 'echo', params: { value: '${shared.count}' } },
    })
    expect(resultOf(await interpret(hooked, { host, steps: [effects.writer()] }))).toEqual({ result: 2 })
    expect(effects.done).toEqual(['run_1:write 1'])
  })

  it('ends the interpretation, not the step, when the host fails', async () => {
    const effects = new Effects()
    const host = new FakeHost()
    host.refuse = ({ path }) => (path === 'write' ? new Error('fenced') : undefined)
    const caught = graphOf({
      write: { type: 'write', retry: { maxAttempts: 3, waitMs: 1 }, next: { error: 'after', default: 'after' } },
      after: { type: 'echo' },
    })
    await expect(interpret(caught, { host, steps: [effects.writer()] })).rejects.toThrow('fenced')
    expect(effects.done).toEqual([])
    expect(host.journal.outcomes).toEqual([])
  })

  it('takes effect once for each item of a batch', async () => {
    const effects = new Effects()
    const host = new FakeHost()
    const each = graphOf({ each: { type: 'write', batch: { strategy: 'parallel', maxParallel: 3 } } })
    await interpret(each, { host, steps: [effects.writer()], input: numbers(5) })
    const again = new FakeHost({ journal: host.journal.first(3) })
    await interpret(each, { host: again, steps: [effects.writer()], input: numbers(5) })
    expect(effects.done).toHaveLength(7)
    expect(new Set(effects.done).size).toBe(5)
  })

  it('may be a matter of parameters: what only reads is given no transaction', async () => {
    const given: boolean[] = []
    const type = stepType(
      'either',
      (params, step) => {
        given.push(step.transaction !== undefined)
        return { output: params.mode ?? null }
      },
      { stepClass: 'transactional', classOf: ({ mode }) => (mode === 'read' ? 'pure' : 'transactional') },
    )
    const both = graphOf({
      read: { type: 'either', params: { mode: '${shared.mode}' }, next: { default: 'write' } },
      write: { type: 'either', params: { mode: 'write' } },
    })
    await interpret(both, { steps: [type], input: { mode: 'read' } })
    expect(given).toEqual([false, true])
  })
})

describe('a step that may run at most once', () => {
  const flow = (more: Partial<FakeNode> = {}) =>
    graphOf({
      once: { type: 'effect', guarantee: 'at_most_once', next: { default: 'end' }, ...more },
      end: { type: 'echo', params: { value: '${[error && error.code, input]}' } },
      other: { type: 'echo', params: { value: 'other' } },
    })

  /** Lets the process be lost in the middle of the step. */
  async function lostInTheMiddle(graph = flow(), rest = {}) {
    const effects = new Effects()
    const host = new FakeHost()
    const crash = new AbortController()
    effects.middle = (step) => {
      crash.abort()
      step.signal.throwIfAborted()
    }
    await interpret(graph, { host, steps: [effects.type('effect')], signal: crash.signal, ...rest })
    effects.middle = () => undefined
    return { effects, host: afterCrash(host) }
  }

  it('starts when its start is durable, and everything before it', async () => {
    const effects = new Effects()
    const host = new FakeHost()
    host.hold()
    const ending = interpret(flow(), { host, steps: [effects.type('effect')] })
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    expect(effects.done).toEqual([])
    host.letGo()
    expect(await ending).toMatchObject({ state: 'completed' })
    expect(host.journal.opened).toMatchObject([{ path: 'once', attempt: 1 }])
    expect(effects.done).toEqual(['run_1:once 1'])
  })

  it('is not repeated once its outcome is recorded', async () => {
    const effects = new Effects()
    const host = new FakeHost()
    const ending = await interpret(flow(), { host, steps: [effects.type('effect')] })
    const again = new FakeHost({ journal: host.journal.first(1) })
    expect(await interpret(flow(), { host: again, steps: [effects.type('effect')] })).toEqual(ending)
    expect(effects.done).toHaveLength(1)
  })

  it('has an unknown outcome after a crash: it is not repeated, not retried, and the run fails', async () => {
    const { effects, host } = await lostInTheMiddle(flow({ retry: { maxAttempts: 5, waitMs: 1 } }))
    expect(
      await interpret(flow({ retry: { maxAttempts: 5, waitMs: 1 } }), { host, steps: [effects.type('effect')] }),
    ).toEqual({
      state: 'failed',
      error: {
        message: 'the step was interrupted after it had started; whether it took effect is not known',
        code: 'unknown_outcome',
        node: 'once',
        nodeType: 'effect',
      },
    })
    expect(effects.done).toEqual(['run_1:once 1'])
    expect(host.journal.outcomes).toMatchObject([{ path: 'once', attempt: 1, state: 'failed', action: 'unknown' }])
  })

  it.each([
    [{ unknown: 'other', error: 'end', default: 'end' }, 'other'],
    [{ error: 'end', default: 'other' }, ['unknown_outcome', { message: expect.any(String), code: 'unknown_outcome' }]],
  ])('then follows the edge unknown, else error: %j', async (next, result) => {
    const { effects, host } = await lostInTheMiddle(flow({ next }))
    expect(resultOf(await interpret(flow({ next }), { host, steps: [effects.type('effect')] }))).toMatchObject({
      result,
    })
    expect(effects.done).toHaveLength(1)
  })

  it('is tried again after a failure that is known, each attempt opened first', async () => {
    const effects = new Effects()
    effects.middle = (step) => {
      if (step.attempt < 3) throw new Error('refused')
    }
    const host = new FakeHost()
    host.clock.hurrying = true
    const graph = flow({ retry: { maxAttempts: 3, waitMs: 5 } })
    expect(await interpret(graph, { host, steps: [effects.type('effect')] })).toMatchObject({ state: 'completed' })
    expect(host.journal.opened.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
    expect(effects.done).toEqual(['run_1:once 1', 'run_1:once 2', 'run_1:once 3'])
  })

  it('is unknown when a later attempt is lost, and goes on when a crash comes between two', async () => {
    const graph = flow({ retry: { maxAttempts: 3, waitMs: 5 } })
    const failing = new Effects()
    failing.middle = (step) => {
      if (step.attempt < 2) throw new Error('refused')
    }
    const host = new FakeHost()
    host.clock.hurrying = true
    await interpret(graph, { host, steps: [failing.type('effect')] })

    const between = new FakeHost({ journal: host.journal.first(1) })
    between.clock.hurrying = true
    expect(await interpret(graph, { host: between, steps: [failing.type('effect')] })).toMatchObject({
      state: 'completed',
    })
    expect(failing.done).toEqual(['run_1:once 1', 'run_1:once 2', 'run_1:once 2'])

    const second = host.journal.first(1)
    second.opened.push({ path: 'once', attempt: 2, startedAt: new Date(0) })
    const after = new FakeHost({ journal: second })
    expect(await interpret(graph, { host: after, steps: [failing.type('effect')] })).toMatchObject({
      state: 'failed',
      error: { code: 'unknown_outcome' },
    })
    expect(failing.done).toHaveLength(3)
  })

  it('is not opened for parameters that it would refuse', async () => {
    const effects = new Effects()
    const host = new FakeHost()
    const options = { checkParams: () => ['no such parameter'] }
    expect(await interpret(flow(), { host, steps: [effects.type('effect')], options })).toMatchObject({
      state: 'failed',
      error: { code: 'invalid_params' },
    })
    expect(host.journal.opened).toEqual([])
  })

  it('sits its waits out, since a run that was unloaded in its middle could not go on', async () => {
    const effects = new Effects()
    const host = new FakeHost({ parks: true })
    host.clock.hurrying = true
    effects.middle = (step) => step.sleepUntil(new Date(step.now().getTime() + 3_600_000))
    expect(await interpret(flow(), { host, steps: [effects.type('effect')] })).toMatchObject({ state: 'completed' })
    expect(effects.done).toHaveLength(1)
  })

  it('counts for each item of a batch: one that was lost fails the batch before another starts', async () => {
    const each = flow({ batch: { strategy: 'parallel', maxParallel: 2 }, next: { unknown: 'other' } })
    const effects = new Effects()
    const host = new FakeHost()
    const crash = new AbortController()
    const gone = new Later()
    effects.middle = async (step) => {
      if (step.input !== 1) return
      gone.resolve()
      await new Promise((_, reject) => step.signal.addEventListener('abort', () => reject(step.signal.reason)))
    }
    const ending = interpret(each, { host, steps: [effects.type('effect')], input: numbers(6), signal: crash.signal })
    await gone.promise
    await vi.waitFor(() => expect(host.journal.outcomes.length).toBeGreaterThan(0))
    crash.abort()
    await ending
    const before = effects.done.length
    const again = afterCrash(host)
    expect(
      resultOf(await interpret(each, { host: again, steps: [effects.type('effect')], input: numbers(6) })),
    ).toEqual({ result: 'other' })
    expect(effects.done).toHaveLength(before)
    expect(again.journal.outcomes.filter(({ state }) => state === 'failed').map(({ path }) => path)).toEqual([
      'once[1]',
      'once',
    ])
  })

  it('is not cut off in its middle because another item failed, and not tried again then', async () => {
    const each = flow({
      batch: { strategy: 'parallel', maxParallel: 3 },
      retry: { maxAttempts: 5, waitMs: 1 },
      next: { error: 'other' },
    })
    const effects = new Effects()
    const host = new FakeHost()
    host.clock.hurrying = true
    const [first, second, third] = [new Later(), new Later(), new Later()]
    effects.middle = async (step) => await [first, second, third][Number(step.input)]?.promise
    const ending = interpret(each, { host, steps: [effects.type('effect')], input: numbers(9) })
    await vi.waitFor(() => expect(effects.done).toHaveLength(3))
    first.reject(new StepError('for good', { retryable: false }))
    await vi.waitFor(() => expect(host.handedIn).toHaveLength(1))
    second.resolve()
    await vi.waitFor(() => expect(host.handedIn).toHaveLength(2))
    third.reject(new Error('once more'))
    expect(resultOf(await ending)).toEqual({ result: 'other' })
    expect(effects.done).toHaveLength(3)
    expect(host.journal.outcomes.map(({ path, state }) => `${path} ${state}`)).toEqual([
      'once[0] failed',
      'once[1] succeeded',
      'once[2] retrying',
      'once failed',
      'other succeeded',
    ])
  })
})

describe('an idempotency key', () => {
  it('is that of the run which this one goes on from', async () => {
    const effects = new Effects()
    const run = { id: 'run_2', keyBase: 'run_1', flowId: 'flow_1', tenantId: 'default', accountId: 'account_1' }
    await interpret(graphOf({ a: { type: 'effect' } }), { run, steps: [effects.type('effect')] })
    expect(effects.done).toEqual(['run_1:a 1'])
  })
})

describe('a step whose work a hook stands in for', () => {
  it('has no effect, so that it waits for nothing and is never opened', async () => {
    const host = new FakeHost()
    host.hold()
    const effects = new Effects()
    const graph = graphOf({
      a: { type: 'echo', next: { default: 'b' } },
      b: { type: 'at_most_once', hooks: { exec: 'return 5' } },
    })
    const ending = interpret(graph, { host, steps: [effects.type('at_most_once')] })
    await vi.waitFor(() => expect(host.handedIn).toHaveLength(2))
    host.letGo()
    expect(resultOf(await ending)).toEqual({ result: 5 })
    expect(host.journal.opened).toEqual([])
    expect(effects.done).toEqual([])
  })
})
