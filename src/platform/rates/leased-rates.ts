import type { Clock } from '../clock/clock.js'
import { type Allowance, RateCounter } from './rate-counter.js'
import type { RateShares, Wish } from './rate-shares.js'

const MINUTE_MS = 60_000
/** Of what is left of a minute a process takes so much at a time: what it does not use is lost to the others. */
const PART = 16

/** What this process may do in one minute under one key. */
interface Budget {
  key: string
  limit: number
  /** Its own, not used yet. */
  left: number
  /** Taken by all processes when this one last asked. */
  taken: number
  /** Requests that wait for the next share. */
  waiting: number
  /** The share under way. */
  refill?: Promise<void>
}

/**
 * A fixed window of one minute over all processes. Each takes a share of a key's minute beforehand, a sixteenth of what is left, and counts
 * in its own memory until it has used it; so most requests ask nobody, the limit is never passed, and the last shares are of one request
 * each. What waits for shares at the same time asks for them together. The table starts empty every minute, so it never grows for long.
 */
export class LeasedRates extends RateCounter {
  private budgets = new Map<string, Budget>()
  private minute = 0
  private asked: { budget: Budget; minute: number; answered: PromiseWithResolvers<void> }[] = []
  private asking?: Promise<void>

  constructor(
    /** Requests a minute; 0 = no limit. */
    private readonly limit: number,
    private readonly shares: RateShares,
    private readonly clock: Pick<Clock, 'now'>,
  ) {
    super()
  }

  async hit(key: string, limit = this.limit): Promise<Allowance | undefined> {
    if (limit === 0) return undefined
    for (;;) {
      const now = this.clock.now().getTime()
      const budget = this.budgetAt(Math.floor(now / MINUTE_MS), key, limit)
      if (budget.left > 0) {
        budget.left--
        return this.allowance(now, limit, limit - budget.taken + budget.left)
      }
      if (budget.taken >= limit) return this.allowance(now, limit, -1)
      budget.waiting++
      try {
        budget.refill ??= this.refill(budget)
        await budget.refill
      } finally {
        budget.waiting--
      }
    }
  }

  async close(): Promise<void> {
    await this.asking
    await this.shares.close()
  }

  private budgetAt(minute: number, key: string, limit: number): Budget {
    if (minute !== this.minute) {
      this.minute = minute
      this.budgets = new Map()
      // The minute before may still be another process's.
      void this.shares.forget(minute - 1).catch(() => {})
    }
    let budget = this.budgets.get(key)
    if (!budget) {
      budget = { key, limit, left: 0, taken: 0, waiting: 0 }
      this.budgets.set(key, budget)
    }
    return budget
  }

  private allowance(now: number, limit: number, remaining: number): Allowance {
    const end = (Math.floor(now / MINUTE_MS) + 1) * MINUTE_MS
    const retryAfter = Math.max(1, Math.ceil((end - now) / 1000))
    return { limit, remaining, resetAt: new Date(end), retryAfter }
  }

  private async refill(budget: Budget): Promise<void> {
    const answered = Promise.withResolvers<void>()
    this.asked.push({ budget, minute: this.minute, answered })
    this.asking ??= this.askAll()
    try {
      await answered.promise
    } finally {
      budget.refill = undefined
    }
  }

  private async askAll(): Promise<void> {
    // Everything that this turn of the event loop asks for travels together, and so does what comes while an answer is awaited.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.asked.length > 0) {
      const batch = this.asked
      this.asked = []
      try {
        const shares = await this.shares.take(batch.map(({ budget, minute }) => wishOf(budget, minute)))
        for (const [index, { budget, answered }] of batch.entries()) {
          budget.left += shares[index]?.granted ?? 0
          budget.taken = shares[index]?.taken ?? budget.limit
          answered.resolve()
        }
      } catch (error) {
        for (const { answered } of batch) answered.reject(error)
      }
    }
    this.asking = undefined
  }
}

function wishOf({ key, limit, taken, waiting }: Budget, minute: number): Wish {
  return { key, minute, limit, known: taken, wanted: Math.max(waiting, Math.ceil((limit - taken) / PART)) }
}
