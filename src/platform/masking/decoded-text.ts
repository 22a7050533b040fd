/**
 * A text with its escapes undone, which remembers where each character came from. Decoding only serves the search: what is no
 * escape stays as it is, and nothing is ever refused.
 */
export interface DecodedText {
  text: string
  /** Where in the source each character begins; one more entry holds the source's length. */
  origins: Int32Array
}

export interface Decoding {
  /** The source has no end yet: only that part is decoded which is sure, up to an escape that the source's end cuts off. */
  growing?: boolean
  /** As a form sends it: `+` for a space. */
  plusIsSpace?: boolean
  /** Undoes escapes that begin with this character alone. */
  only?: Mark
}

/** What escapes begin with. */
export const MARKS = ['%', '\\', '&'] as const
export type Mark = (typeof MARKS)[number]

/** An escape at some place of the source: what it stands for, `open` where the source ends too early to say, or nothing. */
type Escape = { stands: string; length: number } | 'open' | undefined

/**
 * Undoes every escape once, of whichever kind: `%2F`, `\"`, `\u002f`, `&quot;` and their like. Undefined where the text holds none.
 * One pass, since outputs may be large and hostile: some 10 ns per character.
 */
export function decoded(
  source: string,
  { growing = false, plusIsSpace = false, only }: Decoding = {},
): DecodedText | undefined {
  let at = nextMark(source, 0, plusIsSpace, only)
  if (at < 0) return undefined
  // No escape stands for more characters than it has.
  const units = new Uint16Array(source.length)
  const origins = new Int32Array(source.length + 1)
  let length = 0
  let copied = 0
  let end = source.length
  const copyTo = (place: number) => {
    for (; copied < place; copied++) {
      origins[length] = copied
      units[length++] = source.charCodeAt(copied)
    }
  }
  let found = false
  for (; at >= 0; at = nextMark(source, at, plusIsSpace, only)) {
    const meaning = escapeAt(source, at)
    if (meaning === 'open' && growing) {
      end = at
      break
    }
    if (meaning === 'open' || !meaning) {
      at++
      continue
    }
    found = true
    copyTo(at)
    for (let index = 0; index < meaning.stands.length; index++) {
      origins[length] = at
      units[length++] = meaning.stands.charCodeAt(index)
    }
    at += meaning.length
    copied = at
  }
  if (!found && end === source.length) return undefined
  copyTo(end)
  origins[length] = end
  return {
    text: Buffer.from(units.buffer, 0, length * 2).toString('utf16le'),
    origins: origins.subarray(0, length + 1),
  }
}

/** Decodes a text that is itself decoded, back to the same source. */
export function decodedFurther(layer: DecodedText, how: Decoding): DecodedText | undefined {
  const further = decoded(layer.text, how)
  return further && { text: further.text, origins: further.origins.map((origin) => layer.origins[origin] as number) }
}

/** The number of characters that begin before `origin`. */
export function upTo(origins: Int32Array, origin: number): number {
  let low = 0
  let high = origins.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((origins[middle] as number) < origin) low = middle + 1
    else high = middle
  }
  return low
}

const PERCENT = 0x25
const AMPERSAND = 0x26
const PLUS = 0x2b
const BACKSLASH = 0x5c

function nextMark(source: string, from: number, plusIsSpace: boolean, only: Mark | undefined): number {
  if (only) return source.indexOf(only, from)
  for (let at = from; at < source.length; at++) {
    const code = source.charCodeAt(at)
    if (code === PERCENT || code === AMPERSAND || code === BACKSLASH || (plusIsSpace && code === PLUS)) return at
  }
  return -1
}

function escapeAt(source: string, at: number): Escape {
  switch (source.charCodeAt(at)) {
    case PERCENT:
      return percentEscape(source, at)
    case BACKSLASH:
      return backslashEscape(source, at)
    case AMPERSAND:
      return entity(source, at)
    default:
      return { stands: ' ', length: 1 }
  }
}

const ONE_CHARACTER: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

/** `\"`, `\n`, `\x2f` and `\u002f`, as in JSON and most programming languages. */
function backslashEscape(source: string, at: number): Escape {
  const kind = source[at + 1]
  if (kind === undefined) return 'open'
  if (kind === 'u') return hexEscape(source, at, 2, 4)
  if (kind === 'x') return hexEscape(source, at, 2, 2)
  const stands = '"\\/\''.includes(kind) ? kind : ONE_CHARACTER[kind]
  return stands === undefined ? undefined : { stands, length: 2 }
}

/** Several `%2F` for one UTF-8 character, upper and lower case mixed; bytes that are no UTF-8 as Latin-1, and `%u20ac`. */
function percentEscape(source: string, at: number): Escape {
  if (source[at + 1] === 'u') return hexEscape(source, at, 2, 4)
  const lead = hexAt(source, at + 1, 2)
  if (typeof lead !== 'number') return lead
  const size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0
  const single: Escape = { stands: String.fromCharCode(lead), length: 3 }
  if (size < 2) return single
  const bytes = [lead]
  while (bytes.length < size) {
    const place = at + bytes.length * 3
    if (place >= source.length) return 'open'
    const next = source.charCodeAt(place) === PERCENT ? hexAt(source, place + 1, 2) : undefined
    if (next === 'open') return 'open'
    if (next === undefined || next >> 6 !== 0b10) return single
    bytes.push(next)
  }
  return { stands: Buffer.from(bytes).toString('utf8'), length: size * 3 }
}

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' }
const LONGEST_ENTITY = 10

/** `&quot;`, `&#34;` and `&#x22;`, as in HTML and XML. */
function entity(source: string, at: number): Escape {
  const rest = source.slice(at + 1, at + 1 + LONGEST_ENTITY)
  const name = /^#?[0-9a-z]*/i.exec(rest)?.[0] ?? ''
  if (rest[name.length] !== ';') return at + 1 + name.length === source.length ? 'open' : undefined
  const length = name.length + 2
  if (!name.startsWith('#'))
    return Object.hasOwn(ENTITIES, name) ? { stands: ENTITIES[name] as string, length } : undefined
  const code = /^#(\d+)$/.test(name)
    ? Number(name.slice(1))
    : /^#x[0-9a-f]+$/i.test(name)
      ? Number(`0${name.slice(1)}`)
      : -1
  return code > 0 && code <= 0x10ffff ? { stands: String.fromCodePoint(code), length } : undefined
}

function hexEscape(source: string, at: number, lead: number, digits: number): Escape {
  const code = hexAt(source, at + lead, digits)
  return typeof code === 'number' ? { stands: String.fromCharCode(code), length: lead + digits } : code
}

function hexAt(source: string, from: number, digits: number): number | 'open' | undefined {
  let value = 0
  for (let at = from; at < from + digits; at++) {
    if (at >= source.length) return 'open'
    const digit = hexDigit(source.charCodeAt(at))
    if (digit < 0) return undefined
    value = value * 16 + digit
  }
  return value
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}
