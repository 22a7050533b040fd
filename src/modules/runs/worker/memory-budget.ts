import { getHeapStatistics } from 'node:v8'
import type { Json } from '../../../platform/json.js'

/** What a value weighs besides its characters: every member and every item has at least a place in memory. */
const PLACE = 16
/** Of the heap, in characters that are known to be held: each costs up to two bytes, and comes as value and as text. */
const SHARE_OF_HEAP = 1 / 4
/** Above this part of its limit the heap is full of something else, and collecting it soon takes all of the processor. */
const FULL_HEAP = 0.9
/** Between two looks at the heap. */
const LOOK_MS = 100

/**
 * What the values of this process's runs weigh, against what its heap can bear (`--max-old-space-size`). Runs that are under way go on:
 * each is bounded by itself; what is bounded here is how many are begun. Exhausted, the process accepts none and claims none.
 */
export class MemoryBudget {
  private held = 0
  private lookAt = 0
  private isHeapFull = false

  constructor(
    private readonly most = getHeapStatistics().heap_size_limit * SHARE_OF_HEAP,
    private readonly heap: () => { used: number; limit: number } = heapNow,
  ) {}

  hold(weight: number): void {
    this.held += weight
  }

  release(weight: number): void {
    this.held -= weight
  }

  /** What runs hold at the moment. */
  get weight(): number {
    return this.held
  }

  /** `queued`: characters that wait to be written. */
  isExhausted(queued: number): boolean {
    if (this.held + queued >= this.most) return true
    if (performance.now() < this.lookAt) return this.isHeapFull
    this.lookAt = performance.now() + LOOK_MS
    const { used, limit } = this.heap()
    this.isHeapFull = used >= limit * FULL_HEAP
    return this.isHeapFull
  }
}

/** What values weigh, in characters. */
export function weightOf(...values: (Json | undefined)[]): number {
  let weight = 0
  const pending = values.filter((value) => value !== undefined)
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    weight += PLACE
    if (typeof value === 'string') weight += value.length
    else if (Array.isArray(value)) for (const item of value) pending.push(item)
    else if (typeof value === 'object' && value !== null)
      for (const name of Object.keys(value)) {
        weight += name.length
        pending.push(value[name] ?? null)
      }
  }
  return weight
}

function heapNow(): { used: number; limit: number } {
  const { used_heap_size, heap_size_limit } = getHeapStatistics()
  return { used: used_heap_size, limit: heap_size_limit }
}
