/** The time, and the waiting for it, so that tests decide when something is due. */
export interface Clock {
  now(): Date
  /** Calls back once at or soon after `at`; the returned function takes it back. */
  at(at: Date, call: () => void): () => void
}

/** setTimeout ends at 2^31-1 ms (24.8 days); longer waits are taken in legs. */
const LONGEST_LEG_MS = 2_147_483_647

export const systemClock: Clock = {
  now: () => new Date(),
  at(at, call) {
    let timer: NodeJS.Timeout
    const leg = () => {
      const left = at.getTime() - Date.now()
      timer = left > LONGEST_LEG_MS ? setTimeout(leg, LONGEST_LEG_MS) : setTimeout(call, Math.max(0, left))
    }
    leg()
    return () => clearTimeout(timer)
  },
}

/** The injection token of the process's clock. */
export const CLOCK = Symbol('clock')

/** The time of a thing's change: `now`, but later than its change before, so that no two of its states carry the same time. */
export function changeTime(now: Date, before: Date): Date {
  return new Date(Math.max(now.getTime(), before.getTime() + 1))
}
