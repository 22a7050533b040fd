import type { Json, JsonObject } from '../platform/json.js'
import type { StepOutcome } from './host.js'

interface SharedMember {
  /** Of the last item that shared it. */
  value: Json
  last: number
  /** Where it stands among the members: with the first item that shared it, in that item's order. */
  first: number
  position: number
}

/**
 * What the items of a batch came to, in no more memory than that takes: outputs where they are collected, and of what items shared one
 * value for each name. The result is the same whichever item was done first.
 */
export class BatchTally {
  done = 0
  /** The item that failed the batch. */
  failure?: StepOutcome
  private readonly outputs: Json[] = []
  private readonly members = new Map<string, SharedMember>()
  private readonly actions = new Set<string | undefined>()

  constructor(
    readonly total: number,
    private readonly collects: boolean,
  ) {}

  take(outcome: StepOutcome, index: number): void {
    if (outcome.state === 'failed') {
      this.failure ??= outcome
      return
    }
    this.done++
    if (this.collects) this.outputs[index] = outcome.output ?? null
    this.actions.add(outcome.action)
    this.share(outcome.shared, index)
  }

  get counts(): { total: number; succeeded: number; failed: number } {
    return { total: this.total, succeeded: this.done, failed: this.failure ? 1 : 0 }
  }

  /** The outputs in the items' order, or their number. */
  get output(): Json {
    return this.collects ? this.outputs : this.counts
  }

  /** The action on which all items agree. */
  get action(): string | undefined {
    return this.actions.size === 1 ? [...this.actions][0] : undefined
  }

  /** As if the items had shared in their order: of one name the last item's value. */
  get shared(): JsonObject | undefined {
    if (this.members.size === 0) return undefined
    const inOrder = [...this.members].sort(
      ([, one], [, other]) => one.first - other.first || one.position - other.position,
    )
    return Object.fromEntries(inOrder.map(([name, { value }]) => [name, value]))
  }

  private share(shared: JsonObject | undefined, index: number): void {
    if (!shared) return
    for (const [position, [name, value]] of Object.entries(shared).entries()) {
      const known = this.members.get(name)
      if (!known) this.members.set(name, { value, last: index, first: index, position })
      else {
        if (index > known.last) Object.assign(known, { value, last: index })
        if (index < known.first) Object.assign(known, { first: index, position })
      }
    }
  }
}
