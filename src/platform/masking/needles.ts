/** Values shorter than this are no secrets: hiding them would hide ordinary text. */
export const MIN_SECRET_LENGTH = 4

/** A line of a multi-line secret is hidden on its own from this length on. */
const MIN_LINE_LENGTH = 8

const HTML: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/**
 * Every text to look for, given the secrets' values: the values, their lines, both escaped as JSON, as HTML and in a URL, and most of
 * these in base64, base64url and hex. The search undoes escapes in the text, but what stands beside a secret may make an escape together with
 * its end: `50%` before `d7`.
 */
export function needlesOf(values: Iterable<string>): string[] {
  const needles = new Set<string>()
  for (const value of values) {
    for (const plain of [value, value.trim(), ...longLines(value)]) {
      if (plain.length < MIN_SECRET_LENGTH) continue
      for (const form of [inJson(inJson(plain)), inHtml(plain)]) needles.add(form)
      for (const form of [plain, inJson(plain), percentEncoded(plain)]) {
        needles.add(form)
        for (const encoded of encodings(form)) needles.add(encoded)
      }
    }
  }
  return [...needles]
}

function longLines(value: string): string[] {
  const lines = value.split(/[\r\n]+/)
  return lines.length > 1 ? lines.filter((line) => line.length >= MIN_LINE_LENGTH) : []
}

function inJson(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

function inHtml(text: string): string {
  return text.replace(/[&<>"']/g, (mark) => HTML[mark] ?? mark)
}

function percentEncoded(text: string): string {
  return new URLSearchParams({ v: text }).toString().slice(2)
}

function encodings(text: string): string[] {
  const bytes = Buffer.from(text, 'utf8')
  const hex = bytes.toString('hex')
  return [hex, hex.toUpperCase(), ...[0, 1, 2].flatMap((lead) => base64At(bytes, lead))]
}

/**
 * What base64 makes of the bytes when `lead` bytes stand before them in its group of three: only the digits that these bytes alone
 * decide. Digits shared with a neighbour carry at most four bits of the first or last byte.
 */
function base64At(bytes: Buffer, lead: number): string[] {
  const from = Math.ceil((lead * 8) / 6)
  const to = Math.floor(((lead + bytes.length) * 8) / 6)
  const standard = Buffer.concat([Buffer.alloc(lead), bytes])
    .toString('base64')
    .slice(from, to)
  return standard.length < MIN_SECRET_LENGTH ? [] : [standard, standard.replaceAll('+', '-').replaceAll('/', '_')]
}
