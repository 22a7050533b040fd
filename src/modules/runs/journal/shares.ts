/** Who waits for the journal, so that one account cannot take all of its places. */
export class Shares {
  private readonly waiting = new Map<string, number>()

  constructor(private readonly most: number) {}

  /** True while as many of the account's wait as may. */
  isTaken(accountId: string): boolean {
    return (this.waiting.get(accountId) ?? 0) >= this.most
  }

  /** Counts the work among what waits for the account. */
  async within<T>(accountId: string, work: () => Promise<T>): Promise<T> {
    this.waiting.set(accountId, (this.waiting.get(accountId) ?? 0) + 1)
    try {
      return await work()
    } finally {
      const left = (this.waiting.get(accountId) ?? 1) - 1
      if (left > 0) this.waiting.set(accountId, left)
      else this.waiting.delete(accountId)
    }
  }
}
