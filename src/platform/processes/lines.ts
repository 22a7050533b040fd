/** Bytes of a line that are kept; the rest of a longer one is dropped. */
export const LONGEST_LINE = 1024 * 1024

export interface Line {
  text: string
  /** True where it was longer than what is kept. */
  isCut: boolean
}

const NEWLINE = 0x0a

/**
 * Output cut into lines, in bounded memory: of a line no more than `LONGEST_LINE` is held. Bytes become text a whole line at a time, so
 * that no letter is torn at the border of two chunks; what is no UTF-8 becomes U+FFFD.
 */
export class Lines {
  private parts: Buffer[] = []
  private held = 0
  private isCut = false
  private readonly decoder = new TextDecoder()

  /** The lines that end in this chunk. */
  push(chunk: Buffer): Line[] {
    const lines: Line[] = []
    let from = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      this.hold(chunk.subarray(from, end))
      lines.push(this.take())
      from = end + 1
    }
    this.hold(chunk.subarray(from))
    return lines
  }

  /** What was begun and not ended. */
  rest(): Line | undefined {
    return this.held > 0 || this.isCut ? this.take() : undefined
  }

  /** Takes a chunk of which only the last line may yet be wanted, without looking at each; `last` is told of it. */
  skim(chunk: Buffer, last: (line: Line) => void): void {
    const end = chunk.lastIndexOf(NEWLINE)
    if (end >= 0) {
      const before = end === 0 ? -1 : chunk.lastIndexOf(NEWLINE, end - 1)
      if (before >= 0) this.drop()
      this.hold(chunk.subarray(before + 1, end))
      last(this.take())
    }
    this.hold(chunk.subarray(end + 1))
  }

  private hold(piece: Buffer): void {
    const room = LONGEST_LINE - this.held
    if (piece.length > room) this.isCut = true
    const kept = piece.subarray(0, room)
    if (kept.length === 0) return
    // A chunk is the stream's own and may be far larger than what is kept of it.
    this.parts.push(Buffer.from(kept))
    this.held += kept.length
  }

  private take(): Line {
    const bytes = this.parts.length === 1 ? (this.parts[0] as Buffer) : Buffer.concat(this.parts)
    const text = this.decoder.decode(this.isCut ? withoutTornLetter(bytes) : bytes)
    const line = { text: text.endsWith('\r') ? text.slice(0, -1) : text, isCut: this.isCut }
    this.drop()
    return line
  }

  private drop(): void {
    this.parts = []
    this.held = 0
    this.isCut = false
  }
}

/** Without a letter of UTF-8 at the end that is not whole. */
function withoutTornLetter(bytes: Buffer): Buffer {
  for (let back = 1; back <= 4 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] as number
    if (byte < 0x80) break
    if (byte < 0xc0) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return length > back ? bytes.subarray(0, -back) : bytes
  }
  return bytes
}
