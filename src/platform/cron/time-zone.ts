const NAME = /^[A-Za-z][A-Za-z0-9_+\-/]*$/

/** A word that names no time zone. */
export class UnknownTimeZone extends Error {
  constructor(name: string) {
    super(`'${name.slice(0, 60)}' is not an IANA time zone such as Europe/Berlin`)
    this.name = 'UnknownTimeZone'
  }
}

const known = new Map<string, TimeZone>()

/** Asking Intl takes 5 to 20 µs, so offsets are kept for blocks of time at whose ends the clocks stand alike: they never change twice in one. */
const BLOCK_MS = 6 * 3_600_000
const MOST_BLOCKS = 1_000

/**
 * An IANA time zone, as the ICU data of Node has it. Moments are milliseconds since the epoch. A wall time is what a clock on the wall
 * shows, as milliseconds too: those of the moment at which a clock in UTC shows the same.
 */
export class TimeZone {
  /** The offset of a block; null where it changes in between. */
  private readonly blocks = new Map<number, number | null>()

  private constructor(
    readonly name: string,
    private readonly format: Intl.DateTimeFormat | undefined,
  ) {}

  /** Whatever its case. Offsets such as `+01:00`, which Intl takes as well, are no zones: they know no summer. */
  static of(name: string): TimeZone {
    const key = name.toLowerCase()
    let zone = known.get(key)
    if (!zone) {
      zone = TimeZone.read(name)
      known.set(key, zone)
    }
    return zone
  }

  private static read(name: string): TimeZone {
    if (!NAME.test(name)) throw new UnknownTimeZone(name)
    try {
      const format = new Intl.DateTimeFormat('en-US', {
        timeZone: name,
        hourCycle: 'h23',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
        second: 'numeric',
      })
      return new TimeZone(name, format.resolvedOptions().timeZone === 'UTC' ? undefined : format)
    } catch {
      throw new UnknownTimeZone(name)
    }
  }

  /** How far its clocks are ahead of UTC, in milliseconds. */
  offsetAt(moment: number): number {
    if (!this.format) return 0
    const block = Math.floor(moment / BLOCK_MS)
    let offset = this.blocks.get(block)
    if (offset === undefined) {
      const start = readOffset(this.format, block * BLOCK_MS)
      offset = readOffset(this.format, (block + 1) * BLOCK_MS) === start ? start : null
      if (this.blocks.size === MOST_BLOCKS) this.blocks.clear()
      this.blocks.set(block, offset)
    }
    return offset ?? readOffset(this.format, moment)
  }

  /**
   * The first second after `from`, up to and with `to`, at which the clocks stand otherwise. Both are some hours apart at most, in
   * which clocks change once.
   */
  firstChange(from: number, to: number): number | undefined {
    const before = this.offsetAt(from)
    if (this.offsetAt(to) === before) return undefined
    let unchanged = Math.floor(from / 1000)
    let changed = Math.floor(to / 1000)
    while (changed - unchanged > 1) {
      const middle = Math.floor((unchanged + changed) / 2)
      if (this.offsetAt(middle * 1000) === before) unchanged = middle
      else changed = middle
    }
    return changed * 1000
  }

  /** A moment as its clocks show it, such as `2030-03-31T03:00:00+02:00`. */
  wallText(moment: Date): string {
    const offset = this.offsetAt(moment.getTime())
    const wall = new Date(moment.getTime() + offset).toISOString().slice(0, 19)
    const minutes = Math.round(Math.abs(offset) / 60_000)
    const two = (number: number) => String(number).padStart(2, '0')
    return `${wall}${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`
  }
}

function readOffset(format: Intl.DateTimeFormat, moment: number): number {
  const at = Math.floor(moment / 1000) * 1000
  const part: Record<string, number> = {}
  for (const { type, value } of format.formatToParts(at)) part[type] = Number(value)
  const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = part
  return Date.UTC(year, month - 1, day, hour, minute, second) - at
}

/** True for what `TimeZone.of` takes. */
export function isTimeZone(name: string): boolean {
  try {
    TimeZone.of(name)
    return true
  } catch {
    return false
  }
}
