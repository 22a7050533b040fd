import { expect, it, vi } from 'vitest'
import { MemoryBudget, weightOf } from './memory-budget.js'

it('is exhausted by what runs hold and what waits to be written, together', () => {
  const memory = new MemoryBudget(1_000, () => ({ used: 0, limit: 1 }))
  expect(memory.isExhausted(0)).toBe(false)
  memory.hold(600)
  expect(memory.isExhausted(399)).toBe(false)
  expect(memory.isExhausted(400)).toBe(true)
  memory.release(600)
  expect(memory.isExhausted(400)).toBe(false)
})

it('is exhausted while the heap is nearly full, and looks at it now and then only', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  let used = 95
  const heap = vi.fn(() => ({ used, limit: 100 }))
  const memory = new MemoryBudget(1_000, heap)
  vi.advanceTimersByTime(1)
  expect(memory.isExhausted(0)).toBe(true)
  used = 50
  for (let count = 0; count < 100; count++) expect(memory.isExhausted(0)).toBe(true)
  expect(heap).toHaveBeenCalledTimes(1)
  vi.advanceTimersByTime(100)
  expect(memory.isExhausted(0)).toBe(false)
  vi.useRealTimers()
})

it('weighs characters, and places for what has none', () => {
  const empty = weightOf(undefined)
  expect(empty).toBe(0)
  expect(weightOf('x'.repeat(1_000))).toBeGreaterThan(1_000)
  expect(weightOf(Array(1_000).fill(null))).toBeGreaterThan(16_000)
  expect(weightOf({ ['n'.repeat(1_000)]: 1 }, { a: { b: 'x'.repeat(500) } })).toBeGreaterThan(1_500)
})

it('has room for a usual process from the start', () => {
  expect(new MemoryBudget().isExhausted(64 * 1024 * 1024)).toBe(false)
})
