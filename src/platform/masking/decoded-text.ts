/**
 * A text with its escapes undone, which remembers where each character came from. Decoding only serves the search: what is no
 * escape stays as it is, and nothing is ever refused.
 */
export interface DecodedText {
  text: string
  /** Where in the source each character begins; one more entry holds the source's length. */
  origins: Int32Array
}

/**
 * Undoes one kind of escape; undefined where the text holds none. Of a text that is still `growing` only that part is decoded which
 * is sure: it ends before an escape that the text's end cuts off.
 */
export type Decode = (source: string, growing: boolean) => DecodedText | undefined

/** An escape at some place of the source: what it stands for, `open` where the source ends too early to say, or nothing. */
type Escape = { stands: string; length: number } | 'open' | undefined

/** `%2F`, several of them for one UTF-8 character, upper and lower case mixed. */
export const percent: Decode = (source, growing) => decode(source, growing, /%/g, percentEscape)

/** As a form sends it: `+` for a space, too. */
export const form: Decode = (source, growing) =>
  source.includes('+') ? decode(source, growing, /[%+]/g, formEscape) : undefined

/** `\"`, `\n` and `\u002f`, as in JSON and most programming languages. */
export const backslash: Decode = (source, growing) => decode(source, growing, /\\/g, backslashEscape)

/** Decodes a text that is itself decoded, back to the same source. */
export function decodeFurther(layer: DecodedText, decode: Decode, growing: boolean): DecodedText | undefined {
  const further = decode(layer.text, growing)
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

function decode(
  source: string,
  growing: boolean,
  mark: RegExp,
  escapeAt: (text: string, at: number) => Escape,
): DecodedText | undefined {
  let text = ''
  let copied = 0
  let end = source.length
  const origins = new Int32Array(source.length + 1)
  const copyTo = (place: number) => {
    for (let at = copied, to = text.length; at < place; at++, to++) origins[to] = at
    text += source.slice(copied, place)
    copied = place
  }
  mark.lastIndex = 0
  for (let at = mark.exec(source)?.index; at !== undefined; at = mark.exec(source)?.index) {
    const meaning = escapeAt(source, at)
    if (meaning === 'open' && growing) {
      end = at
      break
    }
    if (meaning === 'open' || !meaning) continue
    copyTo(at)
    origins.fill(at, text.length, text.length + meaning.stands.length)
    text += meaning.stands
    copied = at + meaning.length
    mark.lastIndex = copied
  }
  if (copied === 0 && end === source.length) return undefined
  copyTo(end)
  origins[text.length] = end
  return { text, origins: origins.subarray(0, text.length + 1) }
}

const ONE_CHARACTER: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

function backslashEscape(text: string, at: number): Escape {
  const kind = text[at + 1]
  if (kind === undefined) return 'open'
  if (kind === 'u') {
    const digits = /^[0-9a-f]*/i.exec(text.slice(at + 2, at + 6))?.[0] ?? ''
    if (digits.length === 4) return { stands: String.fromCharCode(Number.parseInt(digits, 16)), length: 6 }
    return at + 2 + digits.length === text.length ? 'open' : undefined
  }
  const stands = '"\\/\''.includes(kind) ? kind : ONE_CHARACTER[kind]
  return stands === undefined ? undefined : { stands, length: 2 }
}

function formEscape(text: string, at: number): Escape {
  return text[at] === '+' ? { stands: ' ', length: 1 } : percentEscape(text, at)
}

function percentEscape(text: string, at: number): Escape {
  const lead = byteAt(text, at)
  if (typeof lead !== 'number') return lead
  const size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0
  if (size === 0) return undefined
  const bytes = [lead]
  while (bytes.length < size) {
    const next = byteAt(text, at + bytes.length * 3)
    if (next === 'open') return 'open'
    if (next === undefined || next >> 6 !== 0b10) return undefined
    bytes.push(next)
  }
  return { stands: Buffer.from(bytes).toString('utf8'), length: size * 3 }
}

function byteAt(text: string, at: number): number | 'open' | undefined {
  const spelled = text.slice(at, at + 3)
  if (/^%[0-9a-f]{2}$/i.test(spelled)) return Number.parseInt(spelled.slice(1), 16)
  return spelled.length < 3 && /^(%[0-9a-f]?)?$/i.test(spelled) ? 'open' : undefined
}
