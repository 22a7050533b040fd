/** How long a process believes that another watches something, unless it is told again. */
const BELIEVED_MS = 30_000
/** Things that others watch; what is beyond is told to them by their own looking. */
const MOST = 50_000

/** What other processes say that they watch, by its id. */
export class WatchedElsewhere {
  /** Until when that is believed; the first to end first. */
  private readonly until = new Map<string, number>()

  has(id: string): boolean {
    return (this.until.get(id) ?? 0) > performance.now()
  }

  believe(id: string): void {
    const now = performance.now()
    for (const [other, until] of this.until) {
      if (until > now) break
      this.until.delete(other)
    }
    this.until.delete(id)
    if (this.until.size < MOST) this.until.set(id, now + BELIEVED_MS)
  }
}
