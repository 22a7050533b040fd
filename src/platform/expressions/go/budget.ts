import { isJsonObject, type Json } from '../../json.js'

/** What one evaluation may cost. A million steps take some 200 ms. */
const MOST_STEPS = 1_000_000
/** Characters that all functions and the output together may produce. */
const MOST_TEXT = 16_777_216
/** Values inside a list or object that an expression makes; what is shared counts as often as it is found. */
const MOST_VALUES = 500_000
const DEEPEST = 500
const LONGEST_MS = 1_000
/** Steps between two looks at the clock. */
const LOOK_EVERY = 2_048

/** An evaluation wants more than it may have. */
export class TooExpensive extends Error {}

interface Weight {
  values: number
  depth: number
}

/** Counts what an evaluation costs, and ends it where that is too much. */
export class Budget {
  private steps = 0
  private text = 0
  private lookAt = LOOK_EVERY
  private readonly endsAt = performance.now() + LONGEST_MS
  /** Of lists and objects that were weighed once. */
  private readonly weights = new WeakMap<object, Weight>()

  step(count = 1): void {
    this.steps += count
    if (this.steps > MOST_STEPS) throw new TooExpensive('it takes too many steps')
    if (this.steps >= this.lookAt) this.look()
  }

  /** Text that is about to be made. */
  write(length: number): void {
    this.text += length
    if (this.text > MOST_TEXT) throw new TooExpensive('it makes too much text')
    this.step(1 + (length >> 8))
    if (length > 65_536) this.look()
  }

  /** Text that is gone through. */
  read(length: number): void {
    this.step(1 + (length >> 8))
  }

  /** A list or object that was just made: what it holds must stay within reason, however often its parts are repeated. */
  made<T extends Json>(value: T): T {
    this.weigh(value, 0)
    return value
  }

  /** As JSON, which is as long as all that it holds. */
  json(value: Json, indent?: number): string {
    this.weigh(value, 0)
    const text = JSON.stringify(value, null, indent)
    this.write(text.length)
    return text
  }

  private weigh(value: Json, level: number): Weight {
    if (typeof value !== 'object' || value === null) return { values: 1, depth: 0 }
    const known = this.weights.get(value)
    if (known) return this.checked(known, level)
    if (level > DEEPEST) throw new TooExpensive('it makes lists or objects that are nested too deeply')
    const weight = { values: 1, depth: 0 }
    for (const member of Array.isArray(value) ? value : Object.values(value)) {
      this.step()
      const { values, depth } = this.weigh(member, level + 1)
      weight.values += values
      weight.depth = Math.max(weight.depth, depth + 1)
      this.checked(weight, level)
    }
    this.weights.set(value, weight)
    return weight
  }

  private checked(weight: Weight, level: number): Weight {
    if (weight.values > MOST_VALUES) throw new TooExpensive('it makes lists or objects that hold too much')
    if (weight.depth + level > DEEPEST) throw new TooExpensive('it makes lists or objects that are nested too deeply')
    return weight
  }

  private look(): void {
    this.lookAt = this.steps + LOOK_EVERY
    if (performance.now() > this.endsAt) throw new TooExpensive('it takes too long')
  }
}

/** True where two values are the same JSON.. */
export function isSame(one: Json, other: Json, budget: Budget): boolean {
  budget.step()
  if (one === other) return true
  if (Array.isArray(one)) {
    return (
      Array.isArray(other) &&
      one.length === other.length &&
      one.every((item, at) => isSame(item, other[at] ?? null, budget))
    )
  }
  if (!isJsonObject(one) || !isJsonObject(other)) return false
  const names = Object.keys(one)
  if (names.length !== Object.keys(other).length) return false
  return names.every((name) => Object.hasOwn(other, name) && isSame(one[name] ?? null, other[name] ?? null, budget))
}
