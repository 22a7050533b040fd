import type { Json, JsonObject } from '../json.js'
import { type DecodedText, type Decoding, decoded, decodedFurther, MARKS, upTo } from './decoded-text.js'
import { Effort, NeedleSearch } from './needle-search.js'
import { MIN_SECRET_LENGTH, needlesOf } from './needles.js'

/** What stands where a secret stood. */
export const MASK = '***'

/** Escapes are undone this often: a URL inside JSON, JSON inside JSON inside JSON. */
const MAX_DEPTH = 4

/** The shortest number that is hidden because a secret is that number. */
const MIN_NUMBER_LENGTH = MIN_SECRET_LENGTH

/** A stretch of a text, from `start` up to but not including `end`. */
interface Span {
  start: number
  end: number
}

/**
 * Hides the values of secrets: as they are, escaped as JSON, HTML or in a URL, in hex, in base64 at any alignment inside longer text,
 * and each long line of a multi-line one. Where two secrets overlap, both are hidden whole. Values under four characters are left alone.
 *
 * Escapes are undone layer by layer, all kinds at once, until none is left; secrets that themselves look escaped are looked for in all
 * their layers too. A text that was made to cost far too much is hidden as a whole: to be sure matters more than to show it.
 */
export class SecretMasker {
  private readonly search: NeedleSearch
  private readonly plusIsSpace: boolean
  /** How JSON spells the secrets that are numbers. */
  private readonly numbers: readonly string[]

  constructor(values: Iterable<string>) {
    const secrets = [...values].filter((value) => value.length >= MIN_SECRET_LENGTH)
    const needles = needlesOf(secrets)
    this.plusIsSpace = needles.some((needle) => needle.includes(' '))
    this.search = new NeedleSearch(new Set(needles.flatMap((needle) => this.layersOf(needle))))
    this.numbers = numbersOf(secrets)
  }

  /** The same value, by reference, unless it holds a secret; names of members are masked too. */
  mask<T extends Json>(value: T): T {
    return this.search.isEmpty ? value : (this.maskJson(value, new Effort()) as T)
  }

  maskText(text: string, effort = new Effort()): string {
    if (text.length < MIN_SECRET_LENGTH || this.search.isEmpty) return text
    const spans = this.spans(this.layers(text, false), effort)
    return spans ? blank(text, spans) : MASK
  }

  /** Masks a text that arrives in pieces, secrets across their borders included. */
  stream(): MaskingStream {
    return new MaskingStream(this)
  }

  /**
   * As much of a growing text as can be told for good, masked, and the rest, which may yet turn out to begin a secret. The rest is no
   * longer than the longest spelling of a secret.
   */
  maskSettled(text: string): { masked: string; rest: string } {
    if (this.search.isEmpty) return { masked: text, rest: '' }
    const layers = this.layers(text, true)
    const spans = this.spans(layers, new Effort())
    if (!spans) return { masked: MASK, rest: '' }
    const end = this.settledLength(layers, spans)
    return {
      masked: blank(
        text.slice(0, end),
        spans.filter((span) => span.end <= end),
      ),
      rest: text.slice(end),
    }
  }

  private maskJson(value: Json, effort: Effort): Json {
    if (typeof value === 'string') return this.maskText(value, effort)
    if (typeof value === 'number') return this.maskNumber(value, effort)
    if (value === null || typeof value !== 'object') return value
    return Array.isArray(value) ? this.maskList(value, effort) : this.maskObject(value, effort)
  }

  private maskNumber(value: number, effort: Effort): Json {
    if (this.numbers.length === 0) return value
    effort.spend(this.numbers.length)
    if (effort.isSpent) return MASK
    const spelled = String(value)
    return this.numbers.some((number) => spelled.includes(number)) ? MASK : value
  }

  private maskList(list: Json[], effort: Effort): Json[] {
    let masked: Json[] | undefined
    for (const [index, item] of list.entries()) {
      const hidden = this.maskJson(item, effort)
      if (hidden !== item) {
        masked ??= [...list]
        masked[index] = hidden
      }
    }
    return masked ?? list
  }

  private maskObject(object: JsonObject, effort: Effort): JsonObject {
    let changed = false
    const members = new Map<string, Json>()
    const taken = new Map<string, number>()
    for (const [name, value] of Object.entries(object)) {
      const hiddenName = this.maskText(name, effort)
      const hidden = this.maskJson(value, effort)
      changed ||= hiddenName !== name || hidden !== value
      members.set(hiddenName === name ? name : unused(hiddenName, members, object, taken), hidden)
    }
    return changed ? Object.fromEntries(members) : object
  }

  /** The text, and the text with its escapes undone once, twice and so on, as far as it holds any. */
  private layers(text: string, growing: boolean): Layer[] {
    const how: Decoding = { growing, plusIsSpace: this.plusIsSpace }
    const layers: Layer[] = [{ text }]
    let last = decoded(text, how)
    for (let depth = 1; last; depth++) {
      layers.push(last)
      last = depth < MAX_DEPTH ? decodedFurther(last, how) : undefined
    }
    return [...layers, ...this.layersOfOneKind(text, how)]
  }

  /** What a secret ends in may be an escape together with what stands behind it: `%D` before `2`. Another kind's are undone without it. */
  private layersOfOneKind(text: string, how: Decoding): Layer[] {
    const marks = MARKS.filter((mark) => text.includes(mark))
    if (marks.length < 2) return []
    return marks.flatMap((only) => decoded(text, { ...how, only }) ?? [])
  }

  private layersOf(needle: string): string[] {
    return this.layers(needle, false).map(({ text }) => text)
  }

  /** Where the secrets are in the text itself, sorted and without overlap; undefined where that is too much work. */
  private spans(layers: readonly Layer[], effort: Effort): Span[] | undefined {
    const spans: Span[] = []
    for (const { text, origins } of layers) {
      const isComplete = this.search.each(text, effort, (from, to) => {
        const start = origins ? (origins[from] as number) : from
        const end = origins ? (origins[to] as number) : to
        // Most overlaps are met one after the other: a repetitive text has as many matches as characters.
        const last = spans.at(-1)
        if (last && last.start <= start && start < last.end) last.end = Math.max(last.end, end)
        else spans.push({ start, end })
      })
      if (!isComplete) return undefined
    }
    return merged(spans)
  }

  private settledLength(layers: readonly Layer[], spans: readonly Span[]): number {
    let end = Number.POSITIVE_INFINITY
    for (const { text, origins } of layers) {
      const open = this.search.openFrom(text)
      end = Math.min(end, origins ? (origins[open] as number) : open)
    }
    for (let moved = true; moved; ) {
      const before = end
      for (const { origins } of layers) if (origins) end = beginningAt(origins, end)
      end = spans.find((span) => span.start < end && end < span.end)?.start ?? end
      moved = end < before
    }
    return end
  }
}

/** Takes a text in pieces and gives it back masked; what may be the beginning of a secret waits for the next piece. */
export class MaskingStream {
  private rest = ''

  constructor(private readonly masker: SecretMasker) {}

  write(piece: string): string {
    const { masked, rest } = this.masker.maskSettled(this.rest + piece)
    this.rest = rest
    return masked
  }

  /** The last of it. The stream can be used again afterwards. */
  end(): string {
    const last = this.masker.maskText(this.rest)
    this.rest = ''
    return last
  }
}

/** The text itself has no origins: it is its own source. */
type Layer = Pick<DecodedText, 'text'> & Partial<DecodedText>

function merged(spans: Span[]): Span[] {
  spans.sort((a, b) => a.start - b.start)
  const result: Span[] = []
  for (const span of spans) {
    const last = result.at(-1)
    if (last && span.start < last.end) last.end = Math.max(last.end, span.end)
    else result.push({ ...span })
  }
  return result
}

function blank(text: string, spans: readonly Span[]): string {
  if (spans.length === 0) return text
  let masked = ''
  let shown = 0
  for (const { start, end } of spans) {
    masked += text.slice(shown, start) + MASK
    shown = end
  }
  return masked + text.slice(shown)
}

/** The place itself where a character begins there, else the beginning of the escape that it would cut. */
function beginningAt(origins: Int32Array, place: number): number {
  const index = upTo(origins, place)
  return origins[index] === place || index === 0 ? place : (origins[index - 1] as number)
}

/** Two secrets as names of one object both become the mask: the later one is numbered, so that no member is lost. */
function unused(
  name: string,
  members: ReadonlyMap<string, Json>,
  object: JsonObject,
  taken: Map<string, number>,
): string {
  const isTaken = (candidate: string) => members.has(candidate) || Object.hasOwn(object, candidate)
  if (!isTaken(name)) return name
  let number = taken.get(name) ?? 2
  while (isTaken(`${name}#${number}`)) number++
  taken.set(name, number + 1)
  return `${name}#${number}`
}

/** A number may be written in several ways (`0042.50`), and digits may stand around it or be lost behind it. */
function numbersOf(secrets: readonly string[]): string[] {
  const spelled = secrets
    .filter((secret) => secret.trim() !== '' && Number.isFinite(Number(secret)))
    .map((secret) => String(Math.abs(Number(secret))))
  return [...new Set(spelled)].filter((number) => number.length >= MIN_NUMBER_LENGTH)
}
