import type { Host, StepOutcome } from './host.js'
import { orAborted, type Stop } from './stopping.js'

/** Outcomes that may be on their way to the journal before even a pure step waits: the bound of memory in a long stretch of them. */
const MOST_ON_THE_WAY = 500

/**
 * The outcomes of one interpretation on their way to the journal. A refused one (another owner has taken the run) stops everything: what
 * follows from it would not be safely recorded.
 */
export class Ledger {
  private tail: Promise<void> = Promise.resolve()
  private onTheWay = 0
  /** Why the journal refused, once it has. */
  refusal?: { reason: unknown }

  constructor(
    private readonly host: Host,
    private readonly stop: Stop,
  ) {}

  /** Hands an outcome over. Throws when the run was stopped: nothing is recorded after that. */
  record(outcome: StepOutcome): void {
    this.stop.signal.throwIfAborted()
    this.onTheWay++
    this.tail = this.follow(this.tail, this.host.record(outcome))
    // Whoever needs durability meets the rejection in `durable`.
    this.tail.catch(() => {})
  }

  /** Resolves once everything recorded so far is durable. */
  async durable(): Promise<void> {
    if (this.onTheWay > 0) await orAborted(this.tail, this.stop.signal)
    this.stop.signal.throwIfAborted()
  }

  /** Resolves once there is room for more; at once in all but long stretches. */
  async room(): Promise<void> {
    if (this.onTheWay >= MOST_ON_THE_WAY) await this.durable()
  }

  private async follow(before: Promise<void>, written: Promise<void>): Promise<void> {
    try {
      await Promise.all([before, written])
    } catch (reason) {
      this.refusal ??= { reason }
      this.stop.now(reason)
      throw reason
    } finally {
      this.onTheWay--
    }
  }
}
