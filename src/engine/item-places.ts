/** Items of all batches of a process that are in memory at the same time; each holds some 10 KB, whatever its step does. */
const MOST = 10_000

/** Places for the items that batches work on side by side. None takes more than it leaves, so that each that begins later gets its part. */
export class ItemPlaces {
  constructor(private left = MOST) {}

  /** A place for one more item of a batch that has so many. */
  take(has: number): boolean {
    if (has >= this.left) return false
    this.left--
    return true
  }

  give(): void {
    this.left++
  }
}
