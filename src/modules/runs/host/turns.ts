import { FairQueue } from '../../../platform/fairness/fair-queue.js'

interface Waiting {
  account: string
  go(): void
}

/** Lets so much go on at the same time and no more, in turns between accounts, and of each account only a part of it. */
export class Turns {
  private readonly waiting = new FairQueue<Waiting>()
  private readonly taken = new Map<string, number>()
  private left: number

  constructor(
    atOnce: number,
    private readonly ofOneAccount: number,
  ) {
    this.left = atOnce
  }

  /** For a part of so many places, and a part of them for one account. */
  static share(places: number, part: number, ofOneAccount = part / 2): Turns {
    const share = (part: number) => Math.max(1, Math.floor(places * part))
    return new Turns(share(part), share(ofOneAccount))
  }

  /** Does the work when its turn has come. */
  async take<T>(account: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.turn(account, signal)
    try {
      return await work()
    } finally {
      this.left++
      const taken = this.takenBy(account) - 1
      if (taken > 0) this.taken.set(account, taken)
      else this.taken.delete(account)
      this.next()
    }
  }

  private async turn(account: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const stop = () => {
        this.waiting.delete(account, waiting)
        reject(signal.reason)
      }
      const waiting: Waiting = {
        account,
        go: () => {
          signal.removeEventListener('abort', stop)
          resolve()
        },
      }
      signal.addEventListener('abort', stop, { once: true })
      this.waiting.push(account, waiting)
      this.next()
    })
  }

  private next(): void {
    while (this.left > 0) {
      const waiting = this.waiting.shift((account) => this.takenBy(account) < this.ofOneAccount)
      if (!waiting) return
      this.left--
      this.taken.set(waiting.account, this.takenBy(waiting.account) + 1)
      waiting.go()
    }
  }

  private takenBy(account: string): number {
    return this.taken.get(account) ?? 0
  }
}
