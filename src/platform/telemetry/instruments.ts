/** What one family of measurements is called and means, as Prometheus shows it. */
export interface Description<Label extends string = string> {
  /** In base units, with the unit as the last word: `_seconds`, `_bytes`; counters end with `_total`. */
  name: string
  help: string
  /** Whose values come from a small fixed set: never ids, paths with ids or what users have typed. */
  labels?: readonly Label[]
}

/** One line of an exposition. */
export interface Sample {
  value: number
  labels: Record<string, string | number>
  /** Where it is not the family's: `…_bucket`, `…_sum`, `…_count`. */
  metricName?: string
}

export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  samples(): Sample[] | Promise<Sample[]>
}

/** Combinations of labels that a family keeps; what comes later is counted under `other`, whatever a fault in the code may bring in. */
const MOST_CHILDREN = 1_000

/** A number that only grows. Adding costs a nanosecond; prom-client's own counters cost a hundred. */
export class Count {
  value = 0

  add(amount = 1): void {
    this.value += amount
  }
}

/** How often values of which size came up. An observation costs some ten nanoseconds; prom-client's own cost three hundred. */
export class Distribution {
  readonly counts: Float64Array
  sum = 0

  constructor(readonly bounds: readonly number[]) {
    this.counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    const { bounds, counts } = this
    let index = 0
    while (index < bounds.length && value > (bounds[index] as number)) index++
    counts[index] = (counts[index] as number) + 1
    this.sum += value
  }
}

/** The children of a family by their labels' values. Ask for a child once, where the values are known, and keep it. */
abstract class Labelled<Child> {
  readonly name: string
  readonly help: string
  private readonly labels: readonly string[]
  private readonly children = new Map<string, { labels: Record<string, string>; child: Child }>()

  constructor({ name, help, labels = [] }: Description) {
    this.name = name
    this.help = help
    this.labels = labels
  }

  /** The child with these values, in the order of the family's labels. */
  with(...values: string[]): Child {
    const key = values.join('\n')
    const known = this.children.get(key)
    if (known) return known.child
    if (this.children.size >= MOST_CHILDREN && values.some((value) => value !== 'other'))
      return this.with(...values.map(() => 'other'))
    const labels = Object.fromEntries(this.labels.map((label, index) => [label, values[index] ?? '']))
    const child = this.made()
    this.children.set(key, { labels, child })
    return child
  }

  samples(): Sample[] {
    return [...this.children.values()].flatMap(({ labels, child }) => this.samplesOf(child, labels))
  }

  protected abstract made(): Child
  protected abstract samplesOf(child: Child, labels: Record<string, string>): Sample[]
}

export class CountFamily extends Labelled<Count> implements Family {
  readonly type = 'counter'

  protected made(): Count {
    return new Count()
  }

  protected samplesOf({ value }: Count, labels: Record<string, string>): Sample[] {
    return [{ value, labels }]
  }
}

export class DistributionFamily extends Labelled<Distribution> implements Family {
  readonly type = 'histogram'

  constructor(
    description: Description,
    private readonly bounds: readonly number[],
  ) {
    super(description)
  }

  protected made(): Distribution {
    return new Distribution(this.bounds)
  }

  protected samplesOf({ bounds, counts, sum }: Distribution, labels: Record<string, string>): Sample[] {
    let total = 0
    const buckets = [...counts].map((count, index) => {
      total += count
      return { value: total, labels: { ...labels, le: bounds[index] ?? '+Inf' }, metricName: `${this.name}_bucket` }
    })
    return [
      ...buckets,
      { value: sum, labels, metricName: `${this.name}_sum` },
      { value: total, labels, metricName: `${this.name}_count` },
    ]
  }
}
