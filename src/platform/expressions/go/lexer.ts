import { ExpressionSyntaxError } from '../scan.js'

/** A part of a template: text between actions, or the tokens of one action. */
export type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly tokens: readonly Token[]; readonly from: number; readonly to: number }

export interface Token {
  readonly kind: 'name' | 'variable' | 'field' | 'dot' | 'text' | 'number' | 'mark'
  /** The name without its dot, the variable with its `$`, the text with its escapes undone, the mark itself. */
  readonly text: string
  readonly at: number
  readonly end: number
  /** Whether it stands right behind the token before. */
  readonly joined: boolean
}

const OPEN = '{{'
const CLOSE = '}}'
/** Layers may have dashes in their names, and there is no minus sign that they could be taken for. */
const FIELD = /\.([\p{L}_][\p{L}\p{N}_]*(?:-+[\p{L}\p{N}_]+)*)/uy
const INDEX = /\.(\d{1,9})(?![\p{L}\p{N}_])/uy
const VARIABLE = /\$[\p{L}_]?[\p{L}\p{N}_]*/uy
const NAME = /[\p{L}_][\p{L}\p{N}_]*/uy
const NUMBER = /[+-]?(?:0[xX][\da-fA-F]{1,12}|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)(?![\p{L}\p{N}_.])/uy
const MARK = /:=|[=|(),]/y
const SPACE = /\s+/y
const LEADING = /^\s+/
const ESCAPE = /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{3})|([abfnrtv\\"'`]))/y
const CHARACTERS: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

/**
 * Takes a template apart: `{{ … }}` are actions, everything else is text. `{{- ` and ` -}}` cut the white space of the text beside them,
 * and comments are dropped. Texts stand in double quotes, single quotes or backquotes. Throws `ExpressionSyntaxError`.
 */
export function partsOf(template: string): Part[] {
  const parts: Part[] = []
  let from = 0
  let cut = false
  for (;;) {
    const start = template.indexOf(OPEN, from)
    let text = template.slice(from, start < 0 ? undefined : start)
    if (cut) text = text.replace(LEADING, '')
    const action = start < 0 ? undefined : new ActionLexer(template, start)
    if (action?.cutsBefore) text = text.trimEnd()
    if (text !== '') parts.push({ kind: 'text', text })
    if (!action) return parts
    const { tokens, end } = action.read()
    if (tokens) parts.push({ kind: 'action', tokens, from: start, to: end })
    cut = action.cutsBehind
    from = end
  }
}

class ActionLexer {
  readonly cutsBefore: boolean
  cutsBehind = false
  private at: number
  private readonly tokens: Token[] = []

  constructor(
    private readonly text: string,
    private readonly start: number,
  ) {
    this.at = start + OPEN.length
    this.cutsBefore = text[this.at] === '-' && /\s/.test(text[this.at + 1] ?? '')
    if (this.cutsBefore) this.at++
  }

  /** The tokens, unless it is a comment. */
  read(): { tokens?: Token[]; end: number } {
    this.skipSpace()
    if (this.text.startsWith('/*', this.at)) return { end: this.comment() }
    for (;;) {
      const spaced = this.skipSpace()
      if (spaced && this.text.startsWith(`-${CLOSE}`, this.at)) {
        this.cutsBehind = true
        return { tokens: this.tokens, end: this.at + 1 + CLOSE.length }
      }
      if (this.text.startsWith(CLOSE, this.at)) return { tokens: this.tokens, end: this.at + CLOSE.length }
      if (this.at >= this.text.length) throw this.fault("a '{{' without its closing '}}'", this.start)
      this.token(!spaced && this.tokens.length > 0)
    }
  }

  private comment(): number {
    const end = this.text.indexOf('*/', this.at + 2)
    if (end < 0) throw this.fault("a comment without its closing '*/'", this.at)
    this.at = end + 2
    const spaced = this.skipSpace()
    this.cutsBehind = spaced && this.text[this.at] === '-'
    if (this.cutsBehind) this.at++
    if (!this.text.startsWith(CLOSE, this.at)) throw this.fault("a comment must be closed by '*/}}'", this.at)
    return this.at + CLOSE.length
  }

  private token(joined: boolean): void {
    const character = this.text[this.at] as string
    if (character === '"' || character === "'") this.quoted(character, joined)
    else if (character === '`') this.raw(joined)
    else this.plain(character, joined)
  }

  private plain(character: string, joined: boolean): void {
    const add = (kind: Token['kind'], pattern: RegExp, group = 0) => this.match(kind, pattern, group, joined)
    if (joined && (add('field', FIELD, 1) || add('number', INDEX, 1))) return
    if (add('variable', VARIABLE) || add('number', NUMBER) || add('field', FIELD, 1)) return
    if (add('name', NAME) || add('mark', MARK)) return
    if (character !== '.') throw this.fault(`${quoted(character)} means nothing in an expression`, this.at)
    this.push('dot', '.', this.at + 1, joined)
  }

  private match(kind: Token['kind'], pattern: RegExp, group: number, joined: boolean): boolean {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)
    if (!found) return false
    this.push(kind, found[group] as string, pattern.lastIndex, joined)
    return true
  }

  private quoted(quote: string, joined: boolean): void {
    let text = ''
    for (let at = this.at + 1; ; ) {
      const character = this.text[at]
      if (character === undefined || character === '\n')
        throw this.fault(`a text without its closing ${quote}`, this.at)
      if (character === quote) {
        this.push('text', text, at + 1, joined)
        return
      }
      if (character === '\\') {
        text += this.escaped(at)
        at = ESCAPE.lastIndex
      } else {
        text += character
        at++
      }
    }
  }

  private escaped(at: number): string {
    ESCAPE.lastIndex = at
    const [whole, byte, short, long, octal, character = ''] = ESCAPE.exec(this.text) ?? []
    if (whole === undefined) throw this.fault(`${quoted(this.text.slice(at, at + 2))} is no escape`, at)
    const code = byte ?? short ?? long
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8))
    if (code === undefined) return CHARACTERS[character] ?? character
    const point = Number.parseInt(code, 16)
    if (point > 0x10ffff) throw this.fault(`${quoted(whole)} is no character`, at)
    return String.fromCodePoint(point)
  }

  private raw(joined: boolean): void {
    const end = this.text.indexOf('`', this.at + 1)
    if (end < 0) throw this.fault('a text without its closing `', this.at)
    this.push('text', this.text.slice(this.at + 1, end), end + 1, joined)
  }

  private push(kind: Token['kind'], text: string, end: number, joined: boolean): void {
    this.tokens.push({ kind, text, at: this.at, end, joined })
    this.at = end
  }

  private skipSpace(): boolean {
    SPACE.lastIndex = this.at
    if (!SPACE.test(this.text)) return false
    this.at = SPACE.lastIndex
    return true
  }

  private fault(message: string, at: number): ExpressionSyntaxError {
    return new ExpressionSyntaxError(message, at)
  }
}

/** As messages show what somebody wrote. */
export function quoted(text: string): string {
  return `'${text.length > 60 ? `${text.slice(0, 60)}…` : text}'`
}
