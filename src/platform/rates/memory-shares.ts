import { type RateShares, type Share, shareOf, type Wish } from './rate-shares.js'

/** Shares of a process that knows of no other. */
export class MemoryShares implements RateShares {
  readonly name = 'memory'
  private readonly minutes = new Map<number, Map<string, number>>()

  async take(wishes: readonly Wish[]): Promise<Share[]> {
    return wishes.map((wish) => {
      const taken = this.minutes.get(wish.minute) ?? new Map<string, number>()
      this.minutes.set(wish.minute, taken)
      const share = shareOf(wish, taken.get(wish.key) ?? 0)
      taken.set(wish.key, share.taken)
      return share
    })
  }

  async forget(minute: number): Promise<void> {
    for (const kept of this.minutes.keys()) if (kept < minute) this.minutes.delete(kept)
  }

  async close(): Promise<void> {
    this.minutes.clear()
  }
}
