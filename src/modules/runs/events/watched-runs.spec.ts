import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Hints } from '../../../platform/hints/hints.js'
import { RUN_HINT } from '../run-hints.js'
import { type Standing, WatchedRuns, type Watcher } from './watched-runs.js'

const MINUTE_MS = 60_000

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

describe('runs that are watched', () => {
  it('are looked at together: 20 looks a minute for a thousand of them, and none when nobody watches', async () => {
    const { watched, looks } = process()
    const watchers = Array.from({ length: 1_000 }, (_, index) => watched.watch(`run_${index}`))
    await vi.advanceTimersByTimeAsync(MINUTE_MS)
    expect(looks).toHaveLength(20)
    expect(looks.every((ids) => ids.length === 1_000)).toBe(true)
    for (const watcher of watchers) watcher.leave()
    await vi.advanceTimersByTimeAsync(MINUTE_MS)
    expect(looks).toHaveLength(20)
  })

  it.each<[string, Partial<Standing>]>([
    ['has new events', { lastSeq: 6 }],
    ['has ended', { state: 'completed', lastSeq: null }],
    ['is with another process', { epoch: 2 }],
  ])('wake their watchers, and only those, when one %s and nobody told of it', async (_, change) => {
    const { watched, standings } = process()
    const [one, other] = [watched.watch('run_1'), watched.watch('run_2')]
    await vi.advanceTimersByTimeAsync(3_000)
    const woken = [one, other].map(woke)
    standings.set('run_1', { ...running('run_1'), ...change })
    await vi.advanceTimersByTimeAsync(3_000)
    expect(woken.map((of) => of())).toEqual([true, false])
  })

  it('wake their watchers when they are gone', async () => {
    const { watched, standings } = process()
    const watcher = watched.watch('run_1')
    await vi.advanceTimersByTimeAsync(3_000)
    const woken = woke(watcher)
    standings.set('run_1', undefined)
    await vi.advanceTimersByTimeAsync(3_000)
    expect(woken()).toBe(true)
  })

  it('are announced when the first watcher comes, when another process has taken them, and twelve seconds later', async () => {
    const { watched, standings, sent } = process()
    watched.watch('run_1')
    watched.watch('run_1')
    expect(sent).toEqual([[RUN_HINT.watched, 'run_1']])
    await vi.advanceTimersByTimeAsync(3_000)
    standings.set('run_1', { ...running('run_1'), epoch: 2 })
    await vi.advanceTimersByTimeAsync(3_000)
    expect(sent).toHaveLength(2)
    await vi.advanceTimersByTimeAsync(6_000)
    expect(sent).toHaveLength(3)
  })

  it('elsewhere are told of for half a minute after that was said last', async () => {
    const { watched, sent, hear } = process()
    watched.changed('run_1')
    hear(RUN_HINT.watched, 'run_1')
    watched.changed('run_1')
    expect(sent).toEqual([[RUN_HINT.events, 'run_1']])
    await vi.advanceTimersByTimeAsync(20_000)
    hear(RUN_HINT.watched, 'run_1')
    await vi.advanceTimersByTimeAsync(20_000)
    expect(watched.isWatched('run_1')).toBe(true)
    await vi.advanceTimersByTimeAsync(11_000)
    expect(watched.isWatched('run_1')).toBe(false)
    watched.changed('run_1')
    expect(sent).toHaveLength(1)
  })

  it('elsewhere are bounded, whoever makes them up', () => {
    const { watched, hear } = process()
    for (let count = 0; count < 60_000; count++) hear(RUN_HINT.watched, `run_${count}`)
    expect(watched.isWatched('run_0')).toBe(true)
    expect(watched.isWatched('run_59999')).toBe(false)
  })

  it('wake a watcher that is not waiting just now as soon as it does', async () => {
    const { watched } = process()
    const watcher = watched.watch('run_1')
    watcher.expect()
    watched.changed('run_1')
    await watcher.change()
    watcher.expect()
    const woken = woke(watcher)
    watcher.leave()
    await vi.waitUntil(woken)
  })
})

/** The watched runs of one process, with a table of which all runs go on unchanged. */
function process() {
  const sent: [string, string][] = []
  const hints = new Hints([])
  const listeners = new Map<string, ((id: string) => void)[]>()
  hints.send = (kind, id) => void sent.push([kind, id])
  hints.on = (kind, listener) => {
    listeners.set(kind, [...(listeners.get(kind) ?? []), listener])
    return () => {}
  }
  const looks: string[][] = []
  const standings = new Map<string, Standing | undefined>()
  const watched = new WatchedRuns(hints, async (ids) => {
    looks.push(ids)
    return ids.flatMap((id) => (standings.has(id) ? (standings.get(id) ?? []) : running(id)))
  })
  const hear = (kind: string, id: string) => {
    for (const listener of listeners.get(kind) ?? []) listener(id)
  }
  return { watched, standings, looks, sent, hear }
}

function running(id: string): Standing {
  return { id, epoch: 1, state: 'running', lastSeq: 5 }
}

/** Begins to wait; the returned function tells whether the wait is over. */
function woke(watcher: Watcher): () => boolean {
  let is = false
  watcher.expect()
  void watcher.change().then(() => {
    is = true
  })
  return () => is
}
