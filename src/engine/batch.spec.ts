import { describe, expect, it, vi } from 'vitest'
import type { Json } from '../platform/json.js'
import { graphOf, interpret, Later, resultOf, stepType } from './flow.fake.js'
import type { Batch } from './graph.js'
import { FakeHost, FakeJournal } from './host.fake.js'
import type { StepClass } from './step.js'

const STRATEGIES = ['serial', 'async', 'parallel', 'worker_pool'] as const

/** A batch of calls whose answers the test gives: what is in flight, what was started, how many were at once. */
class Calls {
  readonly inFlight = new Map<number, Later<Json>>()
  readonly started: number[] = []
  readonly stopped: number[] = []
  most = 0

  type(stepClass: StepClass = 'effect') {
    return stepType(
      'call',
      async (params, step) => {
        const index = params.index as number
        const later = new Later<Json>()
        this.started.push(index)
        this.inFlight.set(index, later)
        this.most = Math.max(this.most, this.inFlight.size)
        const stop = () => {
          this.stopped.push(index)
          later.reject(step.signal.reason)
        }
        step.signal.addEventListener('abort', stop)
        try {
          return { output: await later.promise }
        } finally {
          step.signal.removeEventListener('abort', stop)
          this.inFlight.delete(index)
        }
      },
      { stepClass },
    )
  }

  answer(index: number): void {
    this.inFlight.get(index)?.resolve(`answer ${index}`)
  }

  fail(index: number): void {
    this.inFlight.get(index)?.reject(new Error(`call ${index} failed`))
  }

  async awaitStarted(count: number): Promise<void> {
    await vi.waitFor(() => expect(this.started).toHaveLength(count))
  }
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index)
const callsOf = (batch: Batch, rest = {}) =>
  graphOf({ each: { type: 'call', params: { index: '${index}' }, batch, ...rest } })

describe.each(STRATEGIES)('a %s batch', (strategy) => {
  const lanes = strategy === 'serial' ? 1 : 3
  const batch = { strategy, maxParallel: 3 }

  it('returns the outputs in the items’ order, and never has more at once than it may', async () => {
    const calls = new Calls()
    const ending = interpret(callsOf(batch), { input: numbers(10), steps: [calls.type()] })
    for (let settled = 0; settled < 10; ) {
      await calls.awaitStarted(Math.min(10, settled + lanes))
      for (const index of [...calls.inFlight.keys()].reverse()) {
        calls.answer(index)
        settled++
      }
    }
    expect(resultOf(await ending)).toEqual({ result: numbers(10).map((index) => `answer ${index}`) })
    expect(calls.most).toBe(lanes)
    expect(calls.started).toEqual(numbers(10))
  })

  it('stops at the first failure: no further item starts, those in flight are aborted, the node fails', async () => {
    const calls = new Calls()
    const host = new FakeHost()
    const ending = interpret(callsOf(batch), { host, input: numbers(10), steps: [calls.type()] })
    await calls.awaitStarted(lanes)
    calls.fail(lanes - 1)
    expect(await ending).toMatchObject({
      state: 'failed',
      error: { message: `call ${lanes - 1} failed`, node: 'each' },
    })
    expect(calls.started).toHaveLength(lanes)
    expect(calls.stopped).toEqual(numbers(lanes - 1))
    expect(host.journal.paths('failed')).toEqual([`each[${lanes - 1}]`, 'each'])
  })

  it('goes on after a crash with the items that are not settled', async () => {
    const first = new Calls()
    const host = new FakeHost()
    const crash = new AbortController()
    const interrupted = interpret(callsOf(batch), {
      host,
      input: numbers(6),
      steps: [first.type()],
      signal: crash.signal,
    })
    await first.awaitStarted(lanes)
    first.answer(lanes - 1)
    await first.awaitStarted(lanes + 1)
    crash.abort()
    await interrupted
    expect(host.journal.paths()).toEqual([`each[${lanes - 1}]`])

    const second = new Calls()
    const ending = interpret(callsOf(batch), {
      host: new FakeHost({ journal: host.journal }),
      input: numbers(6),
      steps: [second.type()],
    })
    for (let done = 0; done < 5; done++) {
      await vi.waitFor(() => expect(second.inFlight.size).toBeGreaterThan(0))
      second.answer([...second.inFlight.keys()][0] as number)
      await vi.waitFor(() => expect(host.journal.outcomes.length).toBeGreaterThan(done + 1))
    }
    expect(resultOf(await ending)).toEqual({ result: numbers(6).map((index) => `answer ${index}`) })
    expect(second.started).toEqual(numbers(6).filter((index) => index !== lanes - 1))
  })

  it('does nothing for an empty list', async () => {
    expect(resultOf(await interpret(callsOf(batch), { input: [], steps: [new Calls().type()] }))).toEqual({
      result: [],
    })
  })

  it('retries each item by itself', async () => {
    const host = new FakeHost()
    host.clock.hurrying = true
    const graph = graphOf({
      each: { type: 'flaky', params: { failures: '${item}' }, batch, retry: { maxAttempts: 3, waitMs: 10 } },
    })
    expect(resultOf(await interpret(graph, { host, input: [0, 2, 1] }))).toEqual({
      result: ['attempt 1', 'attempt 3', 'attempt 2'],
    })
    expect(host.journal.paths('retrying').sort()).toEqual(['each[1]', 'each[1]', 'each[2]'])
  })
})

describe('a batch', () => {
  const batch = { strategy: 'parallel', maxParallel: 64 } as const

  it('that fails records what an item came to all the same, though it was told to stop', async () => {
    const late = new Later()
    const stubborn = stepType('stubborn', async (_, step) => {
      if (step.input === 0) throw new Error('no')
      await late.promise
      return { output: 'done' }
    })
    const host = new FakeHost()
    const ending = interpret(graphOf({ each: { type: 'stubborn', batch } }), {
      host,
      input: numbers(2),
      steps: [stubborn],
    })
    await vi.waitFor(() => expect(host.handedIn).toHaveLength(1))
    late.resolve()
    expect(await ending).toMatchObject({ state: 'failed', error: { message: 'no' } })
    expect(host.journal.outcomes.map(({ path, state }) => `${path} ${state}`)).toEqual([
      'each[0] failed',
      'each[1] succeeded',
      'each failed',
    ])
  })

  it('fails at once after a crash where an item had failed, and starts nothing again', async () => {
    const host = new FakeHost()
    const graph = graphOf({
      each: { type: 'call', batch, next: { error: 'tell' } },
      tell: { type: 'echo', params: { value: '${error.message}' } },
    })
    const calls = new Calls()
    const ending = interpret(graph, {
      host,
      input: numbers(3),
      steps: [stepType('call', () => Promise.reject(new Error('no')))],
    })
    expect(resultOf(await ending)).toEqual({ result: 'no' })
    expect(host.journal.paths()).toEqual(['each[0]', 'each', 'tell'])
    const again = new FakeHost({ journal: host.journal.first(1) })
    expect(await interpret(graph, { host: again, input: numbers(3), steps: [calls.type()] })).toEqual(await ending)
    expect(calls.started).toEqual([])
  })

  it.each<[string, Json]>([
    ['a list', ['a', 'b']],
    ['the list under `items`', { items: ['a', 'b'] }],
    ['the list under `body`', { body: ['a', 'b'] }],
    ['the list under `body.items`', { body: { items: ['a', 'b'] } }],
  ])('takes %s', async (_, input) => {
    const graph = graphOf({ each: { type: 'echo', params: { value: '${item}' }, batch } })
    expect(resultOf(await interpret(graph, { input }))).toEqual({ result: ['a', 'b'] })
  })

  it.each<Json>([null, 'text', 5, { items: 'none' }])('fails without one: %j', async (input) => {
    const graph = graphOf({ each: { type: 'echo', batch, retry: { maxAttempts: 3, waitMs: 1 } } })
    expect(await interpret(graph, { input })).toMatchObject({ state: 'failed', error: { code: 'batch_items' } })
  })

  it('follows the action on which all items agree, and the action of the item that failed', async () => {
    const next = { yes: 'agreed', default: 'not', client_error: 'refused', error: 'not' }
    const others = ['agreed', 'not', 'refused'].map((value) => [value, { type: 'echo', params: { value } }] as const)
    const graph = (type: string, params: Record<string, Json>) =>
      graphOf([
        ['each', { type, params, batch, next }],
        ...others.map(([name, node]) => [name, node] as [string, typeof node]),
      ])
    const routed = graph('route', { to: '${item}' })
    expect(resultOf(await interpret(routed, { input: ['yes', 'yes'] }))).toEqual({ result: 'agreed' })
    expect(resultOf(await interpret(routed, { input: ['yes', 'no'] }))).toEqual({ result: 'not' })
    const failing = graph('fail', { action: 'client_error' })
    expect(resultOf(await interpret(failing, { input: ['x'] }))).toEqual({ result: 'refused' })
  })

  it('merges what items share in their order, whichever was done first, also from the journal', async () => {
    const calls = [new Later(), new Later(), new Later()]
    const sharing = stepType('sharing', async (_, step) => {
      const item = step.input as number
      await calls[item]?.promise
      return { output: item, shared: { last: item, [`by${item}`]: true } }
    })
    const graph = graphOf({
      each: { type: 'sharing', batch, next: { default: 'tell' } },
      tell: { type: 'echo', params: { value: '${[shared.last, shared.by0]}' } },
    })
    const host = new FakeHost()
    const ending = interpret(graph, { host, input: numbers(3), steps: [sharing] })
    for (const [done, index] of [2, 1, 0].entries()) {
      calls[index]?.resolve()
      await vi.waitFor(() => expect(host.journal.outcomes).toHaveLength(done === 2 ? 5 : done + 1))
    }
    expect(resultOf(await ending)).toEqual({ result: [2, true] })
    for (const count of [3, 4]) {
      const again = new FakeHost({ journal: host.journal.first(count) })
      expect(await interpret(graph, { host: again, input: numbers(3), steps: [sharing] })).toEqual(await ending)
    }
  })

  it('in a row lets an item see what the one before it shared', async () => {
    const graph = graphOf({
      each: {
        type: 'echo',
        params: { value: '${(shared.sum || 0) + item}' },
        hooks: { post: 'context.sum = result' },
        batch: { strategy: 'serial', maxParallel: 1 },
      },
    })
    expect(resultOf(await interpret(graph, { input: [1, 2, 3] }))).toEqual({ result: [1, 3, 6] })
  })

  it('that fails keeps what its items shared until then, also from the journal', async () => {
    const sharing = stepType('sharing', (_, step) => {
      if (step.input === 2) throw new Error('no')
      return { output: null, shared: { last: step.input } }
    })
    const graph = graphOf({
      each: { type: 'sharing', batch: { strategy: 'serial', maxParallel: 1 }, next: { error: 'tell' } },
      tell: { type: 'echo', params: { value: '${shared.last}' } },
    })
    const host = new FakeHost()
    for (const count of [0, 1, 2, 3, 4]) {
      const again = new FakeHost({ journal: host.journal.first(count) })
      const ending = await interpret(graph, { host: count === 0 ? host : again, input: numbers(4), steps: [sharing] })
      expect(resultOf(ending)).toEqual({ result: 1 })
    }
    expect(host.journal.paths()).toEqual(['each[0]', 'each[1]', 'each[2]', 'each', 'tell'])
  })

  it('runs tens of thousands of items without deep recursion', async () => {
    const host = new FakeHost()
    const graph = graphOf({ each: { type: 'echo', params: { value: '${index}' }, batch } })
    const input = new Array(30_000).fill(0)
    const ending = await interpret(graph, { host, input })
    expect((resultOf(ending) as { result: Json[] }).result).toEqual(input.map((_, index) => index))
    expect(host.journal.outcomes).toHaveLength(30_001)
  })

  it('does not run ahead of the journal without bounds, though its step is pure', async () => {
    const host = new FakeHost()
    host.hold()
    const graph = graphOf({ each: { type: 'echo', batch } })
    const ending = interpret(graph, { host, input: numbers(5_000) })
    let before = -1
    while (before < host.handedIn.length) {
      before = host.handedIn.length
      for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate)
    }
    expect(before).toBeGreaterThan(100)
    expect(before).toBeLessThan(1_000)
    host.letGo()
    expect(await ending).toMatchObject({ state: 'completed' })
  })

  it('lets a cancel through although its items never wait', async () => {
    const host = new FakeHost()
    const cancel = new AbortController()
    setImmediate(() => cancel.abort())
    const graph = graphOf({ each: { type: 'echo', batch } })
    expect(await interpret(graph, { host, input: numbers(30_000), signal: cancel.signal })).toEqual({
      state: 'cancelled',
    })
    expect(host.handedIn.length).toBeLessThan(1_000)
  })

  it('leaves no listener behind on the run’s signal', async () => {
    const warnings = vi.spyOn(process, 'emitWarning')
    const run = new AbortController()
    const add = vi.spyOn(run.signal, 'addEventListener')
    const remove = vi.spyOn(run.signal, 'removeEventListener')
    const graph = graphOf({ each: { type: 'flaky', params: { failures: 0 }, batch } })
    await interpret(graph, { input: numbers(2_000), signal: run.signal })
    expect(add.mock.calls.length).toBeLessThanOrEqual(2)
    expect(remove).toHaveBeenCalledTimes(add.mock.calls.length)
    expect(warnings).not.toHaveBeenCalled()
    warnings.mockRestore()
  })
})

describe('a batch that does not collect', () => {
  const batch = { strategy: 'parallel', maxParallel: 10, collect: false } as const

  it('answers how many items there were, and keeps no output of theirs', async () => {
    const host = new FakeHost()
    const graph = graphOf({ each: { type: 'echo', params: { value: '${item}' }, batch } })
    expect(resultOf(await interpret(graph, { host, input: numbers(30) }))).toEqual({
      total: 30,
      succeeded: 30,
      failed: 0,
    })
    expect(host.journal.outcomes.slice(0, 30).map(({ output }) => output)).toEqual(new Array(30).fill(null))
  })

  it('may bring forth more than the outputs of a run may be together', async () => {
    const options = { maxOutputChars: 5_000 }
    const graph = (collect: boolean) =>
      graphOf({ each: { type: 'echo', params: { value: 'x'.repeat(100) }, batch: { ...batch, collect } } })
    expect(await interpret(graph(false), { options, input: numbers(100) })).toMatchObject({ state: 'completed' })
    expect(await interpret(graph(true), { options, input: numbers(100) })).toMatchObject({
      state: 'failed',
      error: {
        code: 'outputs_too_large',
        message: 'the outputs of all nodes are larger than 5000 characters together',
      },
    })
  })

  it('keeps what its items share, and the action on which they agree', async () => {
    const graph = graphOf({
      each: { type: 'share', params: { last: '${item}' }, batch, next: { default: 'tell' } },
      tell: { type: 'echo', params: { value: '${shared.last}' } },
    })
    expect(resultOf(await interpret(graph, { input: numbers(5) }))).toEqual({ result: 4 })
  })

  it('tells the node behind the error edge how far it came', async () => {
    const graph = graphOf({
      each: {
        type: 'flaky',
        params: { failures: '${item}' },
        batch: { strategy: 'serial', maxParallel: 1, collect: false },
        next: { error: 'tell' },
      },
      tell: { type: 'echo', params: { value: '${[error.output, error.message]}' } },
    })
    expect(resultOf(await interpret(graph, { input: [0, 0, 1, 0] }))).toEqual({
      result: [{ total: 4, succeeded: 2, failed: 1 }, 'attempt 1 failed'],
    })
  })

  it('counts the items of before a crash', async () => {
    const host = new FakeHost()
    const graph = graphOf({ each: { type: 'echo', batch } })
    const ending = await interpret(graph, { host, input: numbers(20) })
    const again = new FakeHost({ journal: host.journal.first(13) })
    expect(await interpret(graph, { host: again, input: numbers(20) })).toEqual(ending)
  })
})

describe('the outputs of a batch', () => {
  const graph = graphOf({
    each: {
      type: 'echo',
      params: { value: 'x'.repeat(100) },
      batch: { strategy: 'serial', maxParallel: 1 },
      next: { default: 'end' },
    },
    end: { type: 'echo', params: { value: 1 } },
  })

  it('are counted once, though items and node have them, also after a crash', async () => {
    const host = new FakeHost()
    const options = { maxOutputChars: 1_250 }
    const ending = await interpret(graph, { host, options, input: numbers(10) })
    expect(ending).toMatchObject({ state: 'completed' })
    for (const count of [5, 10, 11]) {
      const again = new FakeHost({ journal: host.journal.first(count) })
      expect(await interpret(graph, { host: again, options, input: numbers(10) })).toEqual(ending)
    }
  })
})

describe('a batch that takes its time', () => {
  it('says how far it is every few seconds, and a short one says nothing', async () => {
    const host = new FakeHost()
    const ticking = (ms: number) =>
      stepType('tick', () => {
        host.clock.advance(ms)
        return { output: null }
      })
    const batch = { strategy: 'serial', maxParallel: 1 } as const
    await interpret(graphOf({ each: { type: 'tick', batch } }), { host, input: numbers(12), steps: [ticking(1_000)] })
    expect(host.events.filter((event) => event.type === 'log' && event.data)).toMatchObject([
      { level: 'info', message: '5 of 12 items done', data: { total: 12, succeeded: 5, failed: 0 }, node: 'each' },
      { message: '10 of 12 items done', data: { total: 12, succeeded: 10, failed: 0 } },
    ])
    const quick = new FakeHost()
    await interpret(graphOf({ each: { type: 'echo', batch } }), { host: quick, input: numbers(12) })
    expect(quick.events.filter((event) => event.type === 'log' && event.data)).toEqual([])
  })
})

describe('a list that had to be computed', () => {
  const batch = { strategy: 'serial', maxParallel: 1 } as const
  const graphWith = (items: string) =>
    graphOf({
      each: { type: 'echo', params: { items, value: '${item}' }, batch, next: { default: 'end' } },
      end: { type: 'echo' },
    })

  it('is recorded before its items, and not computed again after a crash', async () => {
    const host = new FakeHost()
    const random = graphWith('${[Math.random(), Math.random(), Math.random()]}')
    const ending = await interpret(random, { host })
    expect(host.journal.paths()).toEqual(['each[]', 'each[0]', 'each[1]', 'each[2]', 'each', 'end'])
    for (const count of [1, 2, 3, 4, 5]) {
      const again = new FakeHost({ journal: host.journal.first(count) })
      expect(await interpret(random, { host: again })).toEqual(ending)
    }
  })

  it('is not recorded where a property path names it', async () => {
    const host = new FakeHost()
    await interpret(graphWith('${input.list}'), { host, input: { list: [1] } })
    expect(host.journal.paths()).toEqual(['each[0]', 'each', 'end'])
  })

  it('that holds secrets is recorded masked, and computed again to the same', async () => {
    const secrets = { TOKEN: 'tok-123456' }
    const host = new FakeHost({ secrets })
    const lengths = graphOf({
      each: { type: 'echo', params: { items: '${[secrets.TOKEN, shared.x]}', value: '${item.length}' }, batch },
    })
    const ending = await interpret(lengths, { host, input: { x: 'abc' } })
    expect(resultOf(ending)).toEqual({ result: [10, 3] })
    expect(JSON.stringify(host.handedIn)).not.toContain('tok-123456')

    const again = new FakeHost({ journal: host.journal.first(2), secrets })
    expect(await interpret(lengths, { host: again, input: { x: 'abc' } })).toEqual(ending)
    const other = new FakeHost({ journal: host.journal.first(2), secrets })
    expect(await interpret(lengths, { host: other, input: { x: 'abcd' } })).toMatchObject({
      state: 'failed',
      error: { code: 'batch_items' },
    })
  })

  it('fails the node when it cannot be computed', async () => {
    const journal = new FakeJournal()
    const ending = await interpret(graphWith('${nowhere()}'), { host: new FakeHost({ journal }) })
    expect(ending).toMatchObject({ state: 'failed', error: { message: 'nowhere is not defined' } })
    expect(journal.paths()).toEqual(['each'])
  })
})

describe('a batch that asks for too much', () => {
  const input = (count: number) => ({ input: numbers(count) })
  const quick = stepType('call', async () => ({ output: null }))

  it('has no more than 1,000 items at the same time', async () => {
    let inFlight = 0
    let most = 0
    const call = stepType('call', async () => {
      most = Math.max(most, ++inFlight)
      await new Promise((resolve) => setImmediate(resolve))
      inFlight--
      return { output: null }
    })
    const graph = callsOf({ strategy: 'parallel', maxParallel: 1e9 })
    expect(await interpret(graph, { ...input(3_000), steps: [call] })).toMatchObject({ state: 'completed' })
    expect(most).toBe(1_000)
  })

  it('fails above 100,000 items, before any of them starts', async () => {
    const graph = callsOf({ strategy: 'parallel', maxParallel: 64 })
    expect(await interpret(graph, { ...input(100_001), steps: [quick] })).toMatchObject({
      state: 'failed',
      error: { message: 'a batch may have at most 100000 items, not 100001', code: 'batch_items' },
    })
  })
})
