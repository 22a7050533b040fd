import { FairQueue } from './fair-queue.js'
import { Places } from './places.js'

interface Waiting {
  account: string
  go(): void
}

/** Places for work of this process, shared by accounts as `Places` has it: whoever has fewest comes next, and nobody is put out. */
export class SharedPlaces {
  private readonly line = new FairQueue<Waiting>()
  private readonly places: Places

  constructor(most: number) {
    this.places = new Places(most)
  }

  /** Work that waits for a place. */
  get waiting(): number {
    return this.line.size
  }

  /** Does the work once it has a place. Rejects with the signal's reason where that aborts before. */
  async take<T>(account: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.place(account, signal)
    try {
      return await work()
    } finally {
      this.places.leave(account)
      this.next()
    }
  }

  private async place(account: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const stop = () => {
        this.line.delete(account, waiting)
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
      this.line.push(account, waiting)
      this.next()
    })
  }

  private next(): void {
    for (;;) {
      const accounts = this.line.tenants
      this.places.wait(accounts)
      const [turn] = this.places.quotas(accounts, 1)
      const waiting = turn && this.line.shift((tenant) => tenant === turn.account)
      if (!waiting) return
      this.places.take(waiting.account)
      waiting.go()
    }
  }
}
