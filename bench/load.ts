import { setTimeout as delay } from 'node:timers/promises'

/** Milliseconds, as they were measured. */
export class Samples {
  private values: number[] = []

  add(ms: number): void {
    this.values.push(ms)
  }

  get count(): number {
    return this.values.length
  }

  clear(): void {
    this.values = []
  }

  /** The value below which this part of all lies; 0.5 is the median. */
  quantile(part: number): number {
    const sorted = Float64Array.from(this.values).sort()
    return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN
  }

  /** The usual three, as columns of a table. */
  columns(name: string): Record<string, number> {
    return {
      [`${name} p50`]: this.quantile(0.5),
      [`${name} p99`]: this.quantile(0.99),
      [`${name} p99.9`]: this.quantile(0.999),
    }
  }
}

/** Work in so many lanes, each beginning anew as soon as it is done, until the time is over. */
export async function closedLoop(lanes: number, seconds: number, work: () => Promise<void>): Promise<void> {
  const until = performance.now() + seconds * 1_000
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (performance.now() < until) await work()
    }),
  )
}

/**
 * Work that begins at a steady rate, however long it takes. `work` is told when it was to begin, so that a delay of the whole process
 * counts for everybody whom it held up.
 */
export async function openLoop(
  perSecond: number,
  seconds: number,
  work: (began: number) => Promise<void>,
): Promise<void> {
  const from = performance.now()
  const all: Promise<void>[] = []
  for (let index = 0; index < perSecond * seconds; index++) {
    const due = from + (index * 1_000) / perSecond
    const left = due - performance.now()
    if (left > 0) await delay(left)
    all.push(work(Math.max(due, from)))
  }
  await Promise.all(all)
}
