import type { Json, JsonObject } from '../json.js'
import { backslash, type Decode, type DecodedText, decodeFurther, form, percent, upTo } from './decoded-text.js'
import { NeedleSearch } from './needle-search.js'
import { MIN_SECRET_LENGTH, needlesOf } from './needles.js'

/** What stands where a secret stood. */
export const MASK = '***'

/** Escapes are undone this often: a URL inside JSON, JSON inside JSON. */
const MAX_DEPTH = 2

/** A stretch of a text, from `start` up to but not including `end`. */
interface Span {
  start: number
  end: number
}

/**
 * Hides the values of secrets: as they are, escaped as JSON or in a URL, in hex, in base64 at any alignment inside longer text, and
 * each long line of a multi-line one. Where two secrets overlap, both are hidden whole. Values under four characters are left alone.
 */
export class SecretMasker {
  private readonly search: NeedleSearch
  private readonly decoders: Decode[]
  /** Values that JSON may carry as a number. */
  private readonly numbers: ReadonlySet<string>

  constructor(values: Iterable<string>) {
    const secrets = [...values].filter((value) => value.length >= MIN_SECRET_LENGTH)
    this.search = new NeedleSearch(needlesOf(secrets))
    this.decoders = this.search.includes(' ') ? [percent, form, backslash] : [percent, backslash]
    this.numbers = new Set(secrets.map((value) => value.trim()).filter((value) => String(Number(value)) === value))
  }

  /** The same value, by reference, unless it holds a secret; names of members are masked too. */
  mask<T extends Json>(value: T): T {
    return this.search.isEmpty ? value : (this.maskJson(value) as T)
  }

  maskText(text: string): string {
    if (text.length < MIN_SECRET_LENGTH || this.search.isEmpty) return text
    return blank(text, this.spans(this.layers(text, false)))
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
    const spans = this.spans(layers)
    const end = this.settledLength(layers, spans)
    return {
      masked: blank(
        text.slice(0, end),
        spans.filter((span) => span.end <= end),
      ),
      rest: text.slice(end),
    }
  }

  private maskJson(value: Json): Json {
    if (typeof value === 'string') return this.maskText(value)
    if (typeof value === 'number') return this.numbers.has(String(value)) ? MASK : value
    if (value === null || typeof value !== 'object') return value
    return Array.isArray(value) ? this.maskList(value) : this.maskObject(value)
  }

  private maskList(list: Json[]): Json[] {
    let masked: Json[] | undefined
    for (const [index, item] of list.entries()) {
      const hidden = this.maskJson(item)
      if (hidden !== item) {
        masked ??= [...list]
        masked[index] = hidden
      }
    }
    return masked ?? list
  }

  private maskObject(object: JsonObject): JsonObject {
    let changed = false
    const members = new Map<string, Json>()
    for (const [name, value] of Object.entries(object)) {
      const hiddenName = this.maskText(name)
      const hidden = this.maskJson(value)
      changed ||= hiddenName !== name || hidden !== value
      members.set(hiddenName === name ? name : unused(hiddenName, members, object), hidden)
    }
    return changed ? Object.fromEntries(members) : object
  }

  /** The text, and the text with its escapes undone in every order, as far as it holds any. */
  private layers(text: string, growing: boolean): Layer[] {
    const layers: Layer[] = [{ text }]
    let last: DecodedText[] = this.decoders.flatMap((decode) => decode(text, growing) ?? [])
    for (let depth = 1; depth < MAX_DEPTH && last.length > 0; depth++) {
      layers.push(...last)
      last = last.flatMap((layer) => this.decoders.flatMap((decode) => decodeFurther(layer, decode, growing) ?? []))
    }
    return [...layers, ...last]
  }

  /** Where the secrets are in the text itself, sorted and without overlap. */
  private spans(layers: readonly Layer[]): Span[] {
    const spans: Span[] = []
    for (const { text, origins } of layers) {
      this.search.each(text, (start, end) =>
        spans.push(origins ? { start: origins[start] as number, end: origins[end] as number } : { start, end }),
      )
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
function unused(name: string, taken: ReadonlyMap<string, Json>, object: JsonObject): string {
  let candidate = name
  for (let n = 2; taken.has(candidate) || Object.hasOwn(object, candidate); n++) candidate = `${name}#${n}`
  return candidate
}
