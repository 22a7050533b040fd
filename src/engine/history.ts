import type { OpenedStep, StepOutcome } from './host.js'
import { surroundingsOf } from './path.js'

/**
 * What a run has already done, by path: what the journal held when the run was taken up. The walk comes by each path once, so what is
 * asked for is let go of: the outputs of a large batch are held once, by whoever goes on with them.
 */
export class History {
  private readonly final = new Map<string, StepOutcome>()
  private readonly retrying = new Map<string, StepOutcome>()
  private readonly opened = new Map<string, OpenedStep>()

  constructor(outcomes: Iterable<StepOutcome> = [], opened: Iterable<OpenedStep> = []) {
    for (const outcome of outcomes) {
      if (outcome.state !== 'retrying') this.final.set(outcome.path, outcome)
      else if (outcome.attempt > (this.retrying.get(outcome.path)?.attempt ?? 0))
        this.retrying.set(outcome.path, outcome)
    }
    for (const step of opened)
      if (step.attempt > (this.opened.get(step.path)?.attempt ?? 0)) this.opened.set(step.path, step)
    this.dropItemsOfSettledBatches()
  }

  /** The outcomes that the run still goes on from. */
  outcomes(): Iterable<StepOutcome> {
    return [...this.final.values(), ...this.retrying.values()]
  }

  /** The outcome that settled this path, if it is settled. */
  take(path: string): StepOutcome | undefined {
    const outcome = this.final.get(path)
    this.final.delete(path)
    return outcome
  }

  /** The last attempt that failed with another one due. */
  lastRetry(path: string): StepOutcome | undefined {
    return this.retrying.get(path)
  }

  /** The attempt that was opened and left no outcome: whether it took effect is not known. */
  lost(path: string): OpenedStep | undefined {
    const opened = this.opened.get(path)
    return opened && opened.attempt > (this.retrying.get(path)?.attempt ?? 0) ? opened : undefined
  }

  /** The outcome of a batch or a loop holds what its items came to, and that of a round what is kept of it. */
  private dropItemsOfSettledBatches(): void {
    for (const outcomes of [this.final, this.retrying])
      for (const path of outcomes.keys()) {
        for (const around of surroundingsOf(path))
          if (this.final.has(around)) {
            outcomes.delete(path)
            break
          }
      }
  }
}
