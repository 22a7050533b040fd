/** Waiting work of many tenants: first in, first out within a tenant, in turns between tenants. */
export class FairQueue<T> {
  private readonly lanes = new Map<string, Set<T>>()
  private count = 0

  get size(): number {
    return this.count
  }

  /** Those that have something waiting, the one whose turn it is first. */
  get tenants(): string[] {
    return [...this.lanes.keys()]
  }

  /** How much of this tenant waits. */
  sizeOf(tenant: string): number {
    return this.lanes.get(tenant)?.size ?? 0
  }

  push(tenant: string, item: T): void {
    const lane = this.lanes.get(tenant) ?? new Set<T>()
    this.lanes.set(tenant, lane.add(item))
    this.count++
  }

  /** The next item of the tenant whose turn it is, among those that may run now; that tenant goes to the end of the line. */
  shift(mayRun: (tenant: string) => boolean): T | undefined {
    for (const [tenant, lane] of this.lanes) {
      if (!mayRun(tenant)) continue
      const [item] = lane
      if (item === undefined) continue
      this.delete(tenant, item)
      if (this.lanes.delete(tenant)) this.lanes.set(tenant, lane)
      return item
    }
    return undefined
  }

  delete(tenant: string, item: T): boolean {
    const lane = this.lanes.get(tenant)
    if (!lane?.delete(item)) return false
    if (lane.size === 0) this.lanes.delete(tenant)
    this.count--
    return true
  }

  clear(): T[] {
    const items = [...this.lanes.values()].flatMap((lane) => [...lane])
    this.lanes.clear()
    this.count = 0
    return items
  }
}
