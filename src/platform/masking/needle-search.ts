/** Needles are found by their first four characters, so none is shorter. */
const WINDOW = 4

/** Comparisons that one value may cost, some half a second: hundreds of times what any came to that was not made for it. */
const MOST_COMPARISONS = 100_000_000

/** What one search may still cost, over all its texts. */
export class Effort {
  constructor(private left = MOST_COMPARISONS) {}

  get isSpent(): boolean {
    return this.left < 0
  }

  spend(comparisons: number): void {
    this.left -= comparisons
  }
}

interface Needle {
  text: string
  /** For each prefix length, the length of its longest proper prefix that is also its suffix (Knuth, Morris, Pratt). Made on demand. */
  borders?: Int32Array
}

/**
 * Looks for many texts at once. One pass over the haystack compares four characters at a time with a table of the needles'
 * beginnings (about a nanosecond per character); only where a needle may begin is it followed, by Knuth-Morris-Pratt, so that no
 * choice of needle and haystack costs more than haystack × needles.
 */
export class NeedleSearch {
  private readonly needles: Needle[]
  private readonly mayBegin = new Uint8Array(1 << 16)
  private readonly byBeginning = new Map<number, number[]>()

  constructor(texts: Iterable<string>) {
    this.needles = [...texts].filter((text) => text.length >= WINDOW).map((text) => ({ text }))
    for (const [index, { text }] of this.needles.entries()) {
      let word = 0
      for (let i = 0; i < WINDOW; i++) word = shift(word, text.charCodeAt(i))
      this.mayBegin[slot(word)] = 1
      this.byBeginning.set(word, [...(this.byBeginning.get(word) ?? []), index])
    }
  }

  get isEmpty(): boolean {
    return this.needles.length === 0
  }

  /** Calls back for every occurrence, overlapping ones too. False where the effort was spent before all of it was searched. */
  each(haystack: string, effort: Effort, found: (start: number, end: number) => void): boolean {
    let word = 0
    let followed: Map<number, number> | undefined
    for (let i = 0; i < haystack.length; i++) {
      word = shift(word, haystack.charCodeAt(i))
      if (this.mayBegin[slot(word)] === 0 || i < WINDOW - 1) continue
      const start = i - WINDOW + 1
      for (const index of this.byBeginning.get(word) ?? []) {
        followed ??= new Map()
        effort.spend(1)
        if (effort.isSpent) return false
        if (start < (followed.get(index) ?? 0)) continue
        const end = follow(this.needles[index] as Needle, haystack, start, found)
        effort.spend(end - start)
        followed.set(index, end)
      }
    }
    return true
  }

  /** Where the end of the text may be the beginning of a needle: the earliest such place, or the text's length. */
  openFrom(text: string): number {
    let earliest = text.length
    for (const needle of this.needles) {
      earliest = Math.min(earliest, text.length - overhang(needle, text))
    }
    return earliest
  }
}

/** The last four characters as one number; older ones fall out at the top. */
function shift(word: number, code: number): number {
  return (word << 8) ^ code
}

function slot(word: number): number {
  return Math.imul(word, 0x9e3779b1) >>> 16
}

/** Reports the occurrences from `start` on, until nothing is matched any more. Returns how far the haystack was read. */
function follow(needle: Needle, haystack: string, start: number, found: (start: number, end: number) => void): number {
  const { text } = needle
  let matched = 0
  let at = start
  do {
    matched = step(needle, matched, haystack.charCodeAt(at++))
    if (matched === text.length) found(at - matched, at)
  } while (matched > 0 && at < haystack.length)
  return at
}

/** How much of the text's end is a proper prefix of the needle. */
function overhang(needle: Needle, text: string): number {
  const first = needle.text[0] as string
  let at = text.indexOf(first, Math.max(0, text.length - needle.text.length + 1))
  let matched = 0
  while (at >= 0 && at < text.length) {
    matched = step(needle, matched, text.charCodeAt(at++))
    if (matched === 0) at = text.indexOf(first, at)
  }
  return matched
}

function step(needle: Needle, matched: number, code: number): number {
  needle.borders ??= bordersOf(needle.text)
  const { text, borders } = needle
  let length = matched === text.length ? (borders[matched] as number) : matched
  while (length > 0 && text.charCodeAt(length) !== code) length = borders[length] as number
  return text.charCodeAt(length) === code ? length + 1 : 0
}

function bordersOf(text: string): Int32Array {
  const borders = new Int32Array(text.length + 1)
  let border = 0
  for (let i = 1; i < text.length; i++) {
    while (border > 0 && text.charCodeAt(i) !== text.charCodeAt(border)) border = borders[border] as number
    if (text.charCodeAt(i) === text.charCodeAt(border)) border++
    borders[i + 1] = border
  }
  return borders
}
