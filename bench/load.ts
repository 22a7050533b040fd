/** Milliseconds, as they were measured. */
export class Samples {
  private readonly values: number[] = []

  add(ms: number): void {
    this.values.push(ms)
  }

  get count(): number {
    return this.values.length
  }

  /** The value below which this part of all lies; 0.5 is the median. */
  quantile(part: number): number {
    const sorted = Float64Array.from(this.values).sort()
    return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN
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
