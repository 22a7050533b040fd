import type { Clock } from '../clock/clock.js'

export interface Allowance {
  limit: number
  /** How many more are allowed before `resetAt`; negative once the limit is exceeded. */
  remaining: number
  resetAt: Date
}

/** Counts requests by whom they come from. Behind this port a count shared by several processes can stand. */
export interface RateCounter {
  /** Counts one more and says what is left. */
  hit(key: string): Promise<Allowance> | Allowance
}

const WINDOW_MS = 60_000

/** A fixed window of one minute, in this process's memory. The table starts empty every minute, so it never grows for long. */
export class MemoryRateCounter implements RateCounter {
  private counts = new Map<string, number>()
  private windowStart = 0

  constructor(
    private readonly limit: number,
    private readonly clock: Pick<Clock, 'now'>,
  ) {}

  hit(key: string): Allowance {
    const start = Math.floor(this.clock.now().getTime() / WINDOW_MS) * WINDOW_MS
    if (start !== this.windowStart) {
      this.counts = new Map()
      this.windowStart = start
    }
    const count = (this.counts.get(key) ?? 0) + 1
    this.counts.set(key, count)
    return { limit: this.limit, remaining: this.limit - count, resetAt: new Date(start + WINDOW_MS) }
  }
}
