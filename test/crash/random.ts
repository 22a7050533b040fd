/** Chance that a seed repeats (mulberry32). Each part of the harness draws from a source of its own, so that none changes another's luck. */
export class Random {
  private state: number

  constructor(readonly seed: number) {
    this.state = seed >>> 0
  }

  /** Another source, the same for the same name. */
  fork(name: string): Random {
    let hash = 2_166_136_261 ^ this.seed
    for (const char of name) hash = Math.imul(hash ^ char.charCodeAt(0), 16_777_619)
    return new Random(hash)
  }

  /** From 0 up to, not including, 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.next() * choices.length)] as T
  }

  shuffled<T>(choices: readonly T[]): T[] {
    const rest = [...choices]
    return choices.map(() => rest.splice(Math.floor(this.next() * rest.length), 1)[0] as T)
  }
}

/** Deals every card once before any comes again. */
export class Deck<T> {
  private rest: T[] = []

  constructor(
    private readonly random: Random,
    private readonly cards: readonly T[],
  ) {}

  get size(): number {
    return this.cards.length
  }

  deal(): T {
    if (this.rest.length === 0) this.rest = this.random.shuffled(this.cards)
    return this.rest.pop() as T
  }
}
