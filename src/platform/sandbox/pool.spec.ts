import { setImmediate } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import type { Evaluation } from './evaluation.js'
import { Sandbox, type SandboxOptions } from './sandbox.js'
import { Slot } from './slot.js'

let sandbox: Sandbox

afterEach(() => sandbox?.close())

function open(options: Partial<SandboxOptions> = {}): Sandbox {
  sandbox = new Sandbox({ workers: 1, timeoutMs: 5_000, memoryMb: 64, ...options })
  return sandbox
}

const code = (text: string): Evaluation => ({ scripts: [{ code: text, form: 'body' }], scope: {} })
const spin = code('while (true);')
const quick = code('return 1')
/** Native, so that no interrupt handler is asked. */
const wedge = code('Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)')

describe('the main thread', () => {
  test('stays free while scripts spin', async () => {
    open({ workers: 2, workersPerTenant: 2 })
    let done = 0
    const spinning = [1, 2].map(() =>
      sandbox.evaluate(spin, { tenant: 'ada', timeoutMs: 400 }).catch((error: unknown) => {
        done++
        return error
      }),
    )
    let ticks = 0
    while (done < 2) {
      await setImmediate()
      ticks++
    }
    expect(await Promise.all(spinning)).toMatchObject([{ code: 'script_timeout' }, { code: 'script_timeout' }])
    expect(ticks).toBeGreaterThan(100)
  })
})

describe('an abort', () => {
  test.each([
    ['a running script', spin],
    ['a native operation, by ending its worker', wedge],
  ])('stops %s, and the worker is free for the next', async (_, evaluation) => {
    open({ timeoutMs: 600_000 })
    await sandbox.evaluate(quick, { tenant: 'ada' })
    const abort = new AbortController()
    const running = sandbox.evaluate(evaluation, { tenant: 'ada', signal: abort.signal })
    const next = sandbox.evaluate(quick, { tenant: 'ada' })
    abort.abort()
    await expect(running).rejects.toMatchObject({ code: 'script_aborted', message: 'the script was stopped' })
    expect((await next).values).toEqual([1])
  })

  test('takes a waiting script out of the line', async () => {
    open()
    const stop = new AbortController()
    const abort = new AbortController()
    const running = sandbox.evaluate(spin, { tenant: 'ada', signal: stop.signal })
    const waiting = sandbox.evaluate(quick, { tenant: 'ada', signal: abort.signal })
    abort.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'script_aborted' })
    stop.abort()
    await expect(running).rejects.toMatchObject({ code: 'script_aborted' })
  })

  test('before the start runs nothing', async () => {
    open()
    await expect(sandbox.evaluate(quick, { tenant: 'ada', signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'script_aborted',
    })
  })
})

describe('a worker that ends', () => {
  const options = { memoryMb: 64, maxResultChars: 1_000, warmTenants: 1 }
  const order = (text: string) => ({
    tenant: 'ada',
    scripts: [{ code: text, form: 'body' as const }],
    scope: '{"variables":{}}',
    capture: [],
    timeoutMs: 60_000,
  })
  const workerOf = (slot: Slot) => (slot as unknown as { worker: import('node:worker_threads').Worker }).worker

  test('while it works fails that job only, and another takes its place', async () => {
    const slot = new Slot(options)
    await slot.run(order('1'))
    const killed = workerOf(slot)
    const running = slot.run(order('while (true);'))
    await Promise.all([expect(running).rejects.toThrow('the sandbox ended unexpectedly'), killed.terminate()])
    expect(await slot.run(order('2'))).toMatchObject({ ok: true, values: '[2]' })
    expect(workerOf(slot)).not.toBe(killed)
    await slot.close()
  })

  test('while it is idle is replaced unseen', async () => {
    const slot = new Slot(options)
    await slot.run(order('1'))
    await workerOf(slot).terminate()
    expect(await slot.run(order('2'))).toMatchObject({ ok: true, values: '[2]' })
    await slot.close()
  })
})

describe('tenants', () => {
  test('take turns, whoever came first', async () => {
    open()
    const order: string[] = []
    const ask = (tenant: string) => sandbox.evaluate(quick, { tenant }).then(() => order.push(tenant))
    await Promise.all([...Array.from({ length: 5 }, () => ask('busy')), ask('rare'), ask('other')])
    expect(order.indexOf('rare')).toBeLessThan(3)
    expect(order.indexOf('other')).toBeLessThan(4)
    expect(order).toHaveLength(7)
  })

  test('cannot hold every worker with slow scripts', async () => {
    open({ workers: 2 })
    const stop = new AbortController()
    const slow = Array.from({ length: 4 }, () =>
      sandbox.evaluate(spin, { tenant: 'slow', timeoutMs: 600_000, signal: stop.signal }),
    )
    const settled = Promise.allSettled(slow)
    expect((await sandbox.evaluate(quick, { tenant: 'other' })).values).toEqual([1])
    stop.abort()
    expect((await settled).every(({ status }) => status === 'rejected')).toBe(true)
  })

  test('are refused when too many wait', async () => {
    open({ maxWaiting: 2 })
    const all = Array.from({ length: 4 }, () => sandbox.evaluate(quick, { tenant: 'ada' }))
    const results = await Promise.allSettled(all)
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected'])
    expect(results[3]).toMatchObject({ reason: { code: 'script_busy' } })
  })

  test('are refused when the waiting hold too much', async () => {
    open({ maxWaitingChars: 1_000 })
    const big = { ...code('return text.length'), scope: { text: 'x'.repeat(1_000) } }
    const results = await Promise.allSettled([1, 2, 3].map(() => sandbox.evaluate(big, { tenant: 'ada' })))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    expect((await sandbox.evaluate(big, { tenant: 'ada' })).values).toEqual([1_000])
  })
})

describe('closing', () => {
  test('stops what runs, refuses what waits and what comes', async () => {
    open()
    await sandbox.evaluate(quick, { tenant: 'ada' })
    const all = Promise.allSettled([
      sandbox.evaluate(spin, { tenant: 'ada' }),
      sandbox.evaluate(quick, { tenant: 'ada' }),
    ])
    await sandbox.close()
    expect(await all).toMatchObject([{ reason: { code: 'script_aborted' } }, { reason: { code: 'script_aborted' } }])
    await expect(sandbox.evaluate(quick, { tenant: 'ada' })).rejects.toThrow('the sandbox is closed')
  })

  test('while a worker starts leaves none behind', async () => {
    open()
    const first = sandbox.evaluate(quick, { tenant: 'ada' }).catch((error: unknown) => error)
    await sandbox.close()
    expect(await first).toMatchObject({ code: 'script_aborted' })
  })

  test('before any script is nothing', async () => {
    await open().close()
  })
})

test('what waits for one tenant leaves room for others to wait', async () => {
  open({ timeoutMs: 600_000, maxWaiting: 10 })
  const stop = new AbortController()
  const ofAda = { tenant: 'ada', signal: stop.signal }
  // One runs, and nine of ten may wait.
  const all = Array.from({ length: 10 }, () => sandbox.evaluate(spin, ofAda))
  const ended = Promise.allSettled(all)
  await expect(sandbox.evaluate(quick, ofAda)).rejects.toMatchObject({ code: 'script_busy' })
  const other = sandbox.evaluate(quick, { tenant: 'bob' })
  stop.abort()
  expect((await other).values).toEqual([1])
  await ended
  expect((await sandbox.evaluate(quick, { tenant: 'ada' })).values).toEqual([1])
})
