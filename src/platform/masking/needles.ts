/** Values shorter than this are no secrets: hiding them would hide ordinary text. */
export const MIN_SECRET_LENGTH = 4

/** A line of a multi-line secret is hidden on its own from this length on. */
const MIN_LINE_LENGTH = 8

/**
 * Every text to look for, given the secrets' values: the values, their lines, and both in base64, base64url and hex. Percent and
 * backslash escapes are not spelled out here, since the search undoes those in the text; only inside base64 and hex, where it
 * cannot, the escaped forms are encoded as well.
 */
export function needlesOf(values: Iterable<string>): string[] {
  const needles = new Set<string>()
  for (const value of values) {
    for (const plain of [value, value.trim(), ...longLines(value)]) {
      if (plain.length < MIN_SECRET_LENGTH) continue
      needles.add(plain)
      for (const form of [plain, JSON.stringify(plain).slice(1, -1), percentEncoded(plain)]) {
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
