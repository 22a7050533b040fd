import type { Json } from '../platform/json.js'
import type { StepOutcome } from './host.js'
import { StepError } from './step.js'

/** What a value weighs besides its characters: every member and every item has at least a place in memory. */
const PLACE = 8

/**
 * How many characters the outputs of one run may have together. All of them are kept until the run ends, in memory and in the journal, and
 * are read again after an interruption; so without a bound a few lines of a flow could take everybody's memory.
 */
export class OutputBudget {
  private left: number

  constructor(
    private readonly most: number,
    history: Iterable<StepOutcome> = [],
  ) {
    this.left = most
    for (const { output, shared, error } of history) this.left -= weightOf([output, shared, error?.output])
  }

  /** Returns how much it was. Throws `StepError` when there is not that much left. */
  spend(...values: (Json | undefined)[]): number {
    const before = this.left
    if (!this.affords(...values))
      throw new StepError(`the outputs of all nodes are larger than ${this.most} characters together`, {
        code: 'outputs_too_large',
        retryable: false,
      })
    return before - this.left
  }

  /** Gives back what was spent on values that came to nothing. */
  refund(weight: number): void {
    this.left += weight
  }

  /** Spends it if there is that much left. */
  affords(...values: (Json | undefined)[]): boolean {
    const weight = weightOf(values)
    if (weight > this.left) return false
    this.left -= weight
    return true
  }
}

function weightOf(values: (Json | undefined)[]): number {
  let weight = 0
  const pending: (Json | undefined)[] = values.filter((value) => value !== undefined)
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    weight += PLACE
    if (typeof value === 'string') weight += value.length
    else if (Array.isArray(value)) for (const item of value) pending.push(item)
    else if (typeof value === 'object' && value !== null) {
      for (const name of Object.keys(value)) {
        weight += name.length
        pending.push(value[name] ?? null)
      }
    }
  }
  return weight
}
