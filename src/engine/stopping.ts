import type { Clock } from '../platform/clock/clock.js'

/** How long a step that was told to stop may take before the run goes on without it. */
export const GRACE_MS = 10_000

/**
 * An abort of our own below one from outside: it comes with the outer one, or alone. Unlinked when the work is over, so that a signal
 * that outlives the work collects no listeners.
 */
export class Stop {
  private readonly own = new AbortController()
  private readonly follow = () => this.own.abort(this.outer.reason)

  constructor(private readonly outer: AbortSignal) {
    if (outer.aborted) this.follow()
    else outer.addEventListener('abort', this.follow, { once: true })
  }

  get signal(): AbortSignal {
    return this.own.signal
  }

  now(reason?: unknown): void {
    this.own.abort(reason)
  }

  unlink(): void {
    this.outer.removeEventListener('abort', this.follow)
  }
}

/** Work that cannot be stopped: the abort ends the waiting for it. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return race(work, signal, (reject) => {
    reject(signal.reason)
    return () => {}
  })
}

/** Work that stops by itself when the signal comes, and is left behind if it does not do so in time. */
export function withGrace<T>(work: Promise<T>, signal: AbortSignal, clock: Clock): Promise<T> {
  return race(work, signal, (reject) =>
    clock.at(new Date(clock.now().getTime() + GRACE_MS), () => reject(signal.reason)),
  )
}

/** Settles as `work` does, unless `onAbort` rejects first; it returns how to take back what it set up. */
function race<T>(
  work: Promise<T>,
  signal: AbortSignal,
  onAbort: (reject: (reason: unknown) => void) => () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let takeBack = () => {}
    const stop = () => {
      takeBack = onAbort(reject)
    }
    const over = () => {
      takeBack()
      signal.removeEventListener('abort', stop)
    }
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(over)
  })
}

const STRETCH = 100

/** Gives timers, sockets and a cancel their turn in a long stretch of work that never waits; all that share it pause together. */
export class Breath {
  private taken = 0
  private pause?: Promise<void>

  async take(): Promise<void> {
    if (++this.taken % STRETCH === 0) this.pause ??= this.turn()
    await this.pause
  }

  private async turn(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve))
    this.pause = undefined
  }
}
