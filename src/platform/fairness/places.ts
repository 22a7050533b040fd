/** The part of a process's places that there is once more, beyond them, for accounts that have none. */
const SPARE = 0.1

/** How many queued runs of an account are to be taken. */
export interface Quota {
  account: string
  quota: number
}

/**
 * The places for runs in this process, and which accounts have them. One account may have all of them while no other waits. Once another
 * does, places that become free go to whoever has fewest, and who has its share already, or more, gets no further one without waiting.
 *
 * Nobody is put out of a place. For that, long runs of one account would keep all others waiting; so there are some places beyond the usual
 * number (a tenth, at least one), which accounts with less than their part of these get when all others are taken.
 */
export class Places {
  private readonly held = new Map<string, number>()
  private taken = 0
  /** Accounts that have queued runs, as of the last look at the table, and who has come to wait since. */
  private waiting = new Set<string>()
  private readonly spare: number

  constructor(private readonly most: number) {
    this.spare = most > 0 ? Math.max(1, Math.floor(most * SPARE)) : 0
  }

  /** The usual places that are free. */
  get room(): number {
    return Math.max(0, this.most - this.taken)
  }

  take(account: string): void {
    this.taken++
    this.held.set(account, this.heldBy(account) + 1)
  }

  leave(account: string): void {
    this.taken--
    const left = this.heldBy(account) - 1
    if (left > 0) this.held.set(account, left)
    else this.held.delete(account)
  }

  /** A run of this account came to wait. */
  waits(account: string): void {
    this.waiting.add(account)
  }

  /** These accounts have queued runs; others have none. */
  wait(accounts: Iterable<string>): void {
    this.waiting = new Set(accounts)
  }

  /** Whether some account waits, as far as is known. */
  get isContended(): boolean {
    return this.waiting.size > 0
  }

  /** Whether a run of this account may begin at once, past those that wait. */
  mayTake(account: string): boolean {
    if (this.taken >= this.most) return this.maySpare(account)
    const isAlone = this.waiting.size === 0 || (this.waiting.size === 1 && this.waiting.has(account))
    return isAlone || this.heldBy(account) < Math.max(1, Math.floor(this.most / this.accounts(account)))
  }

  /** Whether one of those that wait may have a place beyond the usual ones. */
  get owesSpare(): boolean {
    if (this.waiting.size === 0 || this.taken < this.most || this.taken >= this.most + this.spare) return false
    const part = this.spare / this.accounts()
    for (const account of this.waiting) if (this.heldBy(account) < part) return true
    return false
  }

  /**
   * How many runs of each of these accounts come next, `atMost` together: place by place to whoever has fewest then, and of several to the
   * first of them. The last in the list got the last place.
   */
  quotas(accounts: readonly string[], atMost: number): Quota[] {
    const isSpare = this.taken >= this.most
    const room = Math.min(atMost, isSpare ? this.most + this.spare - this.taken : this.most - this.taken)
    const line = [...new Set(accounts)].map((account) => ({ account, held: this.heldBy(account), quota: 0 }))
    const most = isSpare ? this.spare / this.accounts() : Number.POSITIVE_INFINITY
    const quotas = new Map<string, Quota>()
    for (let left = room; left > 0; left--) {
      let next: (typeof line)[number] | undefined
      for (const one of line) if (one.held < most && (!next || one.held < next.held)) next = one
      if (!next) break
      next.held++
      next.quota++
      // Whoever got the last place stands last.
      quotas.delete(next.account)
      quotas.set(next.account, { account: next.account, quota: next.quota })
    }
    return [...quotas.values()]
  }

  private heldBy(account: string): number {
    return this.held.get(account) ?? 0
  }

  private maySpare(account: string): boolean {
    return this.taken < this.most + this.spare && this.heldBy(account) < this.spare / this.accounts(account)
  }

  /** Accounts that have places or wait for some, and this one. */
  private accounts(account?: string): number {
    let count = this.held.size
    for (const one of this.waiting) if (!this.held.has(one)) count++
    return account === undefined || this.held.has(account) || this.waiting.has(account) ? count : count + 1
  }
}
