export interface Allowance {
  limit: number
  /** How many more are allowed before `resetAt`, as far as this process knows; negative once the limit is exceeded. */
  remaining: number
  resetAt: Date
  /** Seconds until then, at least 1. */
  retryAfter: number
}

/** Counts requests by whom they come from, over all processes together. */
export abstract class RateCounter {
  /** Counts one more and says what is left; undefined where there is no limit. `limit` is a minute's, the installation's unless said. */
  abstract hit(key: string, limit?: number): Promise<Allowance | undefined>
}
