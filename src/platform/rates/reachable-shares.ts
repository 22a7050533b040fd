import type { RateShares, Share, Wish } from './rate-shares.js'

/** A store that does not answer for so long counts as away, … */
const PATIENCE_MS = 2_000
/** … and is passed over for so long. */
const PASS_OVER_MS = 2_000

interface Store {
  shares: RateShares
  passedOverUntil: number
}

/**
 * Shares of the first of several stores that answers; the last one always does. In the minute in which one is lost, its successor learns
 * what was taken from what those who ask know: the limit can be passed by what others have taken since.
 */
export class ReachableShares implements RateShares {
  readonly name = 'reachable'
  private readonly stores: readonly Store[]

  constructor(
    stores: readonly RateShares[],
    /** Told once for each outage. */
    private readonly onError: (error: unknown, store: string) => void,
  ) {
    this.stores = stores.map((shares) => ({ shares, passedOverUntil: Number.NEGATIVE_INFINITY }))
  }

  async take(wishes: readonly Wish[]): Promise<Share[]> {
    let failure: unknown
    for (const store of this.stores) {
      if (performance.now() < store.passedOverUntil) continue
      try {
        const shares = await inTime(store.shares.take(wishes))
        store.passedOverUntil = Number.NEGATIVE_INFINITY
        return shares
      } catch (error) {
        failure = error
        if (store.passedOverUntil === Number.NEGATIVE_INFINITY) this.onError(error, store.shares.name)
        store.passedOverUntil = performance.now() + PASS_OVER_MS
      }
    }
    throw failure
  }

  async forget(minute: number): Promise<void> {
    // What one that is away keeps is forgotten in a later minute.
    await Promise.allSettled(this.stores.map(({ shares }) => shares.forget(minute)))
  }

  async close(): Promise<void> {
    await Promise.all(this.stores.map(({ shares }) => shares.close()))
  }
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error('it did not answer in time')), PATIENCE_MS)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
