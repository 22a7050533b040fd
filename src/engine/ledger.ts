import type { Host, OpenedStep, StepOutcome } from './host.js'
import { Interruption } from './interruption.js'
import type { Transaction } from './step.js'
import { orAborted, type Stop } from './stopping.js'

/** Outcomes that may be on their way to the journal before even a pure step waits: the bound of memory in a long stretch of them. */
const MOST_ON_THE_WAY = 500

/**
 * What one interpretation hands to the journal, and how much of it has arrived. A refusal (another owner has taken the run) stops
 * everything: what follows from what was refused would not be safely recorded.
 */
export class Ledger {
  private tail: Promise<void> = Promise.resolve()
  private onTheWay = 0
  private readonly committed = new WeakSet<StepOutcome>()
  /** Why the journal refused, once it has. */
  refusal?: { reason: unknown }

  constructor(
    private readonly host: Host,
    private readonly stop: Stop,
  ) {}

  /** Hands an outcome over, unless a transaction committed it. Throws when the run was stopped: nothing is recorded after that. */
  record(outcome: StepOutcome): void {
    this.stop.signal.throwIfAborted()
    if (!this.committed.has(outcome)) this.hand(this.host.record(outcome))
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

  /** Resolves once the start of a step is durable, and everything before it. */
  async open({ path, attempt, startedAt }: OpenedStep): Promise<void> {
    this.stop.signal.throwIfAborted()
    this.hand(this.host.open({ path, attempt, startedAt }))
    await this.durable()
  }

  /** Does the work and makes its outcome durable in one transaction, once everything before is. Throws what the work throws. */
  async transact(
    { path, attempt, startedAt }: OpenedStep,
    work: (transaction: Transaction) => Promise<StepOutcome>,
    signal: AbortSignal,
  ): Promise<StepOutcome> {
    await this.durable()
    let own: { error: unknown } | undefined
    const noting = async (transaction: Transaction) => {
      own = undefined
      try {
        return await work(transaction)
      } catch (error) {
        own = { error }
        throw error
      }
    }
    try {
      const outcome = await this.host.transact({ path, attempt, startedAt }, noting, signal)
      this.committed.add(outcome)
      return outcome
    } catch (error) {
      if (own?.error === error || signal.aborted) throw error
      this.refused(error)
      throw new Interruption(error)
    }
  }

  private hand(written: Promise<void>): void {
    this.onTheWay++
    this.tail = this.follow(this.tail, written)
    // Whoever needs durability meets the rejection in `durable`.
    this.tail.catch(() => {})
  }

  private async follow(before: Promise<void>, written: Promise<void>): Promise<void> {
    try {
      await Promise.all([before, written])
    } catch (reason) {
      this.refused(reason)
      throw reason
    } finally {
      this.onTheWay--
    }
  }

  private refused(reason: unknown): void {
    this.refusal ??= { reason }
    this.stop.now(reason)
  }
}
