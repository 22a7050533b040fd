import type { StepOutcome } from './host.js'

/** What a run has already done, by path: what the journal held when the run was taken up. */
export class History {
  private readonly final = new Map<string, StepOutcome>()
  private readonly retrying = new Map<string, StepOutcome>()

  constructor(outcomes: Iterable<StepOutcome> = []) {
    for (const outcome of outcomes) {
      if (outcome.state !== 'retrying') this.final.set(outcome.path, outcome)
      else if (outcome.attempt > (this.retrying.get(outcome.path)?.attempt ?? 0))
        this.retrying.set(outcome.path, outcome)
    }
  }

  /** The outcome that settled this path, if it is settled. */
  settled(path: string): StepOutcome | undefined {
    return this.final.get(path)
  }

  /** The last attempt that failed with another one due. */
  lastRetry(path: string): StepOutcome | undefined {
    return this.retrying.get(path)
  }
}
