import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { IdleMemory, thisProcess } from './idle-memory.js'

const MIB = 1024 * 1024
const LOOK_MS = 15_000
const now = { cpu: 0, heap: 200 * MIB }
let collected: number
let memory: IdleMemory

beforeEach(() => {
  vi.useFakeTimers()
  collected = 0
  Object.assign(now, { cpu: 0, heap: 200 * MIB })
  const collect = () => {
    collected++
    now.heap = 80 * MIB
  }
  memory = new IdleMemory({ read: () => ({ ...now }), collect })
})

afterEach(() => {
  memory.stop()
  vi.useRealTimers()
})

function pass({ cpuMs, heapMiB }: { cpuMs: number; heapMiB: number }): number {
  now.cpu += cpuMs * 1_000
  now.heap += heapMiB * MIB
  vi.advanceTimersByTime(LOOK_MS)
  return collected
}

it('collects once the start is over, and again only after a load', () => {
  expect(pass({ cpuMs: 2_000, heapMiB: 0 })).toBe(0)
  expect(pass({ cpuMs: 50, heapMiB: 0 })).toBe(1)
  expect(pass({ cpuMs: 50, heapMiB: 10 })).toBe(1)
  expect(pass({ cpuMs: 50, heapMiB: 10 })).toBe(1)
  expect(pass({ cpuMs: 9_000, heapMiB: 150 })).toBe(1)
  expect(pass({ cpuMs: 50, heapMiB: 0 })).toBe(2)
})

it('never collects while there is something to do', () => {
  for (let look = 0; look < 5; look++) expect(pass({ cpuMs: 400, heapMiB: 50 })).toBe(0)
})

it('knows the way to the collector of this process, and leaves none to others', async () => {
  vi.useRealTimers()
  const garbage = new WeakRef({ of: 'the start' })
  // What a turn of the event loop has looked at stays until its end.
  await new Promise((resolve) => setImmediate(resolve))
  thisProcess().collect()
  expect(garbage.deref()).toBeUndefined()
  expect('gc' in globalThis).toBe(false)
})
