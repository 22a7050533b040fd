import type { ValueTexts } from '../values/run-values.js'

/** Who takes values that are too large for rows. */
export interface LargeValues {
  hasLarge(values: ValueTexts): boolean
  /** The same, with what is large referred to. */
  spilled(tenantId: string, values: ValueTexts): Promise<ValueTexts>
}

/**
 * Values on their way out of the records that the journal was given. The records of a run stay in their order: while a value of one is
 * under way, those behind it wait; their own values are put at the same time.
 */
export class Spills {
  /** Characters of the records that wait. */
  chars = 0
  private readonly last = new Map<string, Promise<void>>()

  constructor(private readonly values?: LargeValues) {}

  /** Hands the values on, at once where nothing of this run is under way and nothing is large. */
  inOrder<T>(
    runId: string,
    tenantId: string | undefined,
    values: ValueTexts,
    handOn: (values: ValueTexts) => Promise<T>,
  ): Promise<T> {
    const before = this.last.get(runId)
    const spilled = this.spilled(tenantId, values)
    if (!before && !spilled) return handOn(values)
    const chars = Object.values(values).reduce((sum, text) => sum + text.length, 0)
    this.chars += chars
    return new Promise((resolve) => {
      const turn = Promise.all([spilled ?? values, before]).then(([kept]) => {
        this.chars -= chars
        if (this.last.get(runId) === turn) this.last.delete(runId)
        resolve(handOn(kept))
      })
      this.last.set(runId, turn)
    })
  }

  holds(runId: string): boolean {
    return this.last.has(runId)
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    while (this.last.size > 0) await Promise.all(this.last.values())
  }

  private spilled(tenantId: string | undefined, values: ValueTexts): Promise<ValueTexts> | undefined {
    if (tenantId === undefined || !this.values?.hasLarge(values)) return undefined
    return this.values.spilled(tenantId, values)
  }
}
