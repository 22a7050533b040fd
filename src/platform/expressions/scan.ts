/** A `${…}` in a text. */
export interface Found {
  /** Where its `$` stands. */
  start: number
  /** Just behind its `}`. */
  end: number
  code: string
}

/** A text is not what an expression needs to be. */
export class ExpressionSyntaxError extends Error {
  constructor(
    message: string,
    /** Where in the text, counted from 0. */
    readonly offset: number,
    /** Which text: a JSON pointer into the value that holds it. */
    readonly pointer = '',
  ) {
    super(message)
    this.name = 'ExpressionSyntaxError'
  }
}

/** A text taken apart: literal pieces and expressions, in order. */
export type Piece = string | Found

/**
 * The expressions of a text, `${` to the `}` that JavaScript would pair it with: braces, strings, template literals, comments and
 * regular expressions inside are skipped. A backslash before `${` makes it literal text; two make one backslash before an expression.
 */
export function findExpressions(text: string): Found[] {
  return pieces(text).filter((piece) => typeof piece !== 'string')
}

/** The whole text, taken apart. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = []
  let literal = ''
  let from = 0
  for (;;) {
    const start = text.indexOf('${', from)
    if (start < 0) break
    let backslashes = 0
    while (start - backslashes > from && text[start - backslashes - 1] === '\\') backslashes++
    literal += text.slice(from, start - Math.ceil(backslashes / 2))
    if (backslashes % 2 === 1) {
      literal += '${'
      from = start + 2
      continue
    }
    const end = skipCode(text, start + 2)
    if (end === undefined) throw new ExpressionSyntaxError("a '${' without its closing '}'", start)
    if (literal !== '') found.push(literal)
    literal = ''
    found.push({ start, end, code: text.slice(start + 2, end - 1) })
    from = end
  }
  literal += text.slice(from)
  if (literal !== '') found.push(literal)
  return found
}

/** A `/` behind one of these begins a regular expression; behind anything else it divides. */
const BEFORE_REGEX = /(?:^|[([{,;:=!&|?+\-*%<>~^]|\b(?:return|typeof|case|in|of|delete|void|await|yield))\s*$/

/**
 * From just behind an opening `{` to just behind its `}`; undefined when the text ends first. Each template literal and each block is
 * an entry on a stack, so that any nesting takes linear time.
 */
function skipCode(text: string, from: number): number | undefined {
  const open: ('{' | '`')[] = ['{']
  let at = from
  // Up to here no slash begins a regular expression, since one before it found no end on its line.
  let divisionsUntil = from
  while (at < text.length) {
    const character = text[at] as string
    if (open.at(-1) === '`') {
      if (character === '\\') at++
      else if (character === '`') open.pop()
      else if (character === '$' && text[at + 1] === '{') {
        open.push('{')
        at++
      }
      at++
    } else if (character === '"' || character === "'") at = skipQuoted(text, at)
    else if (character === '/') {
      const comment = skipComment(text, at)
      const regex = comment === undefined && at >= divisionsUntil && begins(text, at, from)
      const end = comment ?? (regex ? skipRegex(text, at) : at + 1)
      if (end === undefined) divisionsUntil = endOfLine(text, at)
      at = end ?? at + 1
    } else {
      if (character === '{' || character === '`') open.push(character)
      else if (character === '}') open.pop()
      at++
      if (open.length === 0) return at
    }
  }
  return undefined
}

function skipQuoted(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== text[start]) at += text[at] === '\\' ? 2 : 1
  return at + 1
}

function skipComment(text: string, start: number): number | undefined {
  if (text[start + 1] === '/') return endOfLine(text, start)
  if (text[start + 1] !== '*') return undefined
  const end = text.indexOf('*/', start + 2)
  return end < 0 ? text.length : end + 2
}

function endOfLine(text: string, start: number): number {
  const end = text.indexOf('\n', start)
  return end < 0 ? text.length : end
}

/** True where a slash stands where only a regular expression can. */
function begins(text: string, slash: number, codeStart: number): boolean {
  return BEFORE_REGEX.test(text.slice(Math.max(codeStart, slash - 20), slash))
}

function skipRegex(text: string, start: number): number | undefined {
  let inClass = false
  for (let at = start + 1; at < text.length && text[at] !== '\n'; at++) {
    const character = text[at]
    if (character === '\\') at++
    else if (character === '[') inClass = true
    else if (character === ']') inClass = false
    else if (character === '/' && !inClass) return at + 1
  }
  return undefined
}
