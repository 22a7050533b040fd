/** An atom or quoted string, a literal, or a parenthesised list. */
export type ImapToken = string | Buffer | ImapToken[]

/**
 * Cuts a client's stream into commands (RFC 3501, section 4). A literal `{n}` is asked for by a continuation before it is read.
 * Brackets belong to their atom, as in `BODY.PEEK[HEADER]<0.100>`.
 */
export class ImapReader {
  private pending = Buffer.alloc(0)
  private parts: (string | Buffer)[] = []
  private literal?: number

  constructor(
    private readonly goAhead: () => void,
    private readonly command: (tokens: ImapToken[]) => void,
  ) {}

  push(chunk: Buffer): void {
    this.pending = Buffer.concat([this.pending, chunk])
    while (this.take()) {}
  }

  private take(): boolean {
    if (this.literal !== undefined) {
      if (this.pending.length < this.literal) return false
      this.parts.push(this.pending.subarray(0, this.literal))
      this.pending = this.pending.subarray(this.literal)
      this.literal = undefined
      return true
    }
    const end = this.pending.indexOf('\r\n')
    if (end < 0) return false
    const line = this.pending.subarray(0, end).toString()
    this.pending = this.pending.subarray(end + 2)
    const literal = /\{(\d+)\}$/.exec(line)
    this.parts.push(literal ? line.slice(0, literal.index) : line)
    if (literal) {
      this.literal = Number(literal[1])
      this.goAhead()
      return true
    }
    const tokens = tokenize(this.parts)
    this.parts = []
    this.command(tokens)
    return true
  }
}

function tokenize(parts: readonly (string | Buffer)[]): ImapToken[] {
  const lists: ImapToken[][] = [[]]
  const add = (token: ImapToken) => lists.at(-1)?.push(token)
  for (const part of parts) {
    if (Buffer.isBuffer(part)) {
      add(part)
      continue
    }
    for (const [token] of part.matchAll(/\(|\)|"(?:[^"\\]|\\.)*"|[^\s()"[]*\[[^\]]*\][^\s()]*|[^\s()"]+/g)) {
      if (token === '(') lists.push([])
      else if (token === ')') add(lists.pop() as ImapToken[])
      else add(token.startsWith('"') ? token.slice(1, -1).replace(/\\(.)/g, '$1') : token)
    }
  }
  return lists[0] as ImapToken[]
}
