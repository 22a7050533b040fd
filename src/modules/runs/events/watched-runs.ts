import type { Hints } from '../../../platform/hints/hints.js'
import { RUN_HINT } from '../run-hints.js'
import { WatchedElsewhere } from './watched-elsewhere.js'

/** How often what is watched is looked at without a hint: in one statement, whatever their number. */
const LOOK_MS = 3_000
/** Every so many looks the others are told again what is watched here. */
const LOOKS_PER_ANNOUNCEMENT = 4
/** How a run stands, in short: who looks again after it has changed misses nothing. */
export interface Standing {
  id: string
  epoch: number
  state: string
  lastSeq: number | null
}

/** One who watches a run. */
export interface Watcher {
  /** Resolves when something may have changed since `expect` was called; at once when it has. */
  change(): Promise<void>
  expect(): void
  leave(): void
}

interface Watched {
  wakes: Set<() => void>
  seen?: Standing
}

/**
 * Which runs somebody watches, in this process or in another, and who is to be woken when they change. A process that begins to watch a
 * run says so, for only runs that are watched are told of between processes. Hints wake at once; a look that all runs of the process
 * share finds what no hint told of.
 */
export class WatchedRuns {
  private readonly here = new Map<string, Watched>()
  private readonly elsewhere = new WatchedElsewhere()
  private looking?: NodeJS.Timeout
  private looks = 0

  constructor(
    private readonly hints: Hints,
    private readonly standings: (ids: string[]) => Promise<Standing[]>,
  ) {
    hints.on(RUN_HINT.watched, (id) => this.elsewhere.believe(id))
    hints.on(RUN_HINT.events, (id) => this.wake(id))
    hints.on(RUN_HINT.cancelled, (id) => this.wake(id))
  }

  isWatched(id: string): boolean {
    return this.here.has(id) || this.elsewhere.has(id)
  }

  /** Those who watch here. */
  get watchers(): number {
    return [...this.here.values()].reduce((sum, { wakes }) => sum + wakes.size, 0)
  }

  watch(id: string): Watcher {
    let changed = false
    let resolve = () => {}
    const wake = () => {
      changed = true
      resolve()
    }
    this.join(id).wakes.add(wake)
    return {
      expect: () => {
        changed = false
      },
      change: async () => {
        if (changed) return
        await new Promise<void>((resolved) => {
          resolve = resolved
        })
      },
      leave: () => {
        this.leave(id, wake)
        wake()
      },
    }
  }

  /** Something of this run has become durable here. */
  changed(id: string): void {
    this.wake(id)
    if (this.elsewhere.has(id)) this.hints.send(RUN_HINT.events, id)
  }

  private wake(id: string): void {
    for (const wake of this.here.get(id)?.wakes ?? []) wake()
  }

  private join(id: string): Watched {
    const known = this.here.get(id)
    if (known) return known
    const watched: Watched = { wakes: new Set() }
    this.here.set(id, watched)
    this.hints.send(RUN_HINT.watched, id)
    this.looking ??= setInterval(() => void this.look(), LOOK_MS)
    return watched
  }

  private leave(id: string, wake: () => void): void {
    const watched = this.here.get(id)
    watched?.wakes.delete(wake)
    if (watched?.wakes.size === 0) this.here.delete(id)
    if (this.here.size > 0) return
    clearInterval(this.looking)
    this.looking = undefined
  }

  /** Wakes the watchers of what has changed unnoticed. Whoever takes a run may not know yet that it is watched. */
  private async look(): Promise<void> {
    if (++this.looks % LOOKS_PER_ANNOUNCEMENT === 0)
      for (const id of this.here.keys()) this.hints.send(RUN_HINT.watched, id)
    const ids = [...this.here.keys()]
    // While the database is away nothing changes.
    const standings = await this.standings(ids).catch(() => undefined)
    if (!standings) return
    const found = new Map(standings.map((standing) => [standing.id, standing]))
    for (const id of ids) this.compare(id, found.get(id))
  }

  private compare(id: string, now: Standing | undefined): void {
    const watched = this.here.get(id)
    if (!watched) return
    const before = watched.seen
    watched.seen = now
    if (before && now && before.epoch !== now.epoch) this.hints.send(RUN_HINT.watched, id)
    if (before?.epoch !== now?.epoch || before?.state !== now?.state || before?.lastSeq !== now?.lastSeq || !now)
      this.wake(id)
  }
}
