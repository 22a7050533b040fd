import type { Clock } from '../clock/clock.js'

export interface Allowance {
  limit: number
  /** How many more are allowed before `resetAt`; negative once the limit is exceeded. */
  remaining: number
  resetAt: Date
  /** Seconds until then, at least 1. */
  retryAfter: number
}

/** Counts requests by whom they come from. Behind this port a count shared by several processes can stand. */
export abstract class RateCounter {
  /** Counts one more and says what is left; undefined where there is no limit. */
  abstract hit(key: string): Promise<Allowance | undefined>
}

const WINDOW_MS = 60_000

/** A fixed window of one minute, in this process's memory. The table starts empty every minute, so it never grows for long. */
export class MemoryRateCounter extends RateCounter {
  private counts = new Map<string, number>()
  private windowStart = 0

  constructor(
    /** Requests a minute; 0 = no limit. */
    private readonly limit: number,
    private readonly clock: Pick<Clock, 'now'>,
  ) {
    super()
  }

  async hit(key: string): Promise<Allowance | undefined> {
    if (this.limit === 0) return undefined
    const now = this.clock.now().getTime()
    const start = Math.floor(now / WINDOW_MS) * WINDOW_MS
    const end = start + WINDOW_MS
    if (start !== this.windowStart) {
      this.counts = new Map()
      this.windowStart = start
    }
    const count = (this.counts.get(key) ?? 0) + 1
    this.counts.set(key, count)
    return {
      limit: this.limit,
      remaining: this.limit - count,
      resetAt: new Date(end),
      retryAfter: Math.max(1, Math.ceil((end - now) / 1000)),
    }
  }
}
