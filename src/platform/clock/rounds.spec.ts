import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Rounds } from './rounds.js'

beforeEach(() => void vi.useFakeTimers())

afterEach(() => void vi.useRealTimers())

it('comes at once and then as often as was said, whatever a round came to', async () => {
  const failures: unknown[] = []
  let rounds = 0
  const work = new Rounds(
    1_000,
    async () => {
      rounds++
      if (rounds === 2) throw new Error('the second')
    },
    (error) => failures.push((error as Error).message),
  )
  work.begin()
  await vi.advanceTimersByTimeAsync(0)
  expect(rounds).toBe(1)
  await vi.advanceTimersByTimeAsync(2_000)
  expect(rounds).toBe(3)
  expect(failures).toEqual(['the second'])
  await work.end()
  expect(vi.getTimerCount()).toBe(0)
})

it('has one round at a time', async () => {
  let active = 0
  let most = 0
  const work = new Rounds(
    1_000,
    async () => {
      most = Math.max(most, ++active)
      await Promise.resolve()
      active--
    },
    () => {},
  )
  await Promise.all([work.look(), work.look(), work.look()])
  expect(most).toBe(1)
})

it('tells the round under way that it ends, waits for it, and begins none after it', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const seen: string[] = []
  const work = new Rounds(
    1_000,
    async (signal) => {
      await promise
      seen.push(signal.aborted ? 'told' : 'not told')
    },
    () => {},
  )
  void work.look()
  void work.look()
  await Promise.resolve()
  const ended = work.end().then(() => seen.push('ended'))
  resolve()
  await ended
  await work.look()
  expect(seen).toEqual(['told', 'ended'])
})
