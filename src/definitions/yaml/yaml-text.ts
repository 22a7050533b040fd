import { Composer, type CST, type Document, Lexer, type LineCounter, type ParsedNode, Parser } from 'yaml'
import type { FaultEntry } from './faults.js'
import type { Limits } from './limits.js'

/**
 * YAML 1.2 core schema. The library's own search for duplicate keys compares every pair of keys, and its tags for timestamps,
 * binary data and sets have no place in JSON: both are left to the walk over the tree.
 */
const options = {
  version: '1.2',
  schema: 'core',
  uniqueKeys: false,
  resolveKnownTags: false,
  merge: false,
  prettyErrors: false,
} as const

/** Complaints of the library that are passed on. Most are echoes of the first few. */
const maxComplaints = 20

/** The text is not one YAML document within the limits. */
export class UnreadableYaml extends Error {
  constructor(readonly faults: readonly FaultEntry[]) {
    super('the text is not one YAML document within the limits')
    this.name = 'UnreadableYaml'
  }
}

/**
 * Text to one YAML document. Throws `UnreadableYaml`. The library builds its trees without any bound of its own, so its stages are
 * driven here token by token, and left as soon as the text proves too long, too deep or too broken. Tells `lines` where lines start.
 */
export function parseYaml(text: string, lines: LineCounter, limits: Limits): Document.Parsed<ParsedNode> {
  lines.addNewLine(0)
  if (Buffer.byteLength(text) > limits.bytes) {
    throw refusal('too_large', 0, `${limits.noun} may have at most ${limits.bytes} bytes`)
  }
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines.addNewLine(at + 1)
  const forbidden = text.search(/[\0\p{Cs}]/u)
  if (forbidden >= 0) {
    const which = text[forbidden] === '\0' ? 'the character U+0000' : 'half of a surrogate pair'
    throw invalid(forbidden, `the text holds ${which}`)
  }

  const complaints = new Complaints()
  const composer = new Composer(options)
  // It has no public hook for this; building its own errors costs seconds and a gigabyte where every other character is one.
  Object.assign(composer, {
    onError: (source: ComplaintSource, _code: string, message: string, isWarning?: boolean) => {
      if (!isWarning) complaints.add(offsetOf(source), message)
    },
  })

  const documents: Document.Parsed<ParsedNode>[] = []
  for (const token of oneDocument(tokensOf(text, limits), limits)) {
    if (token.type === 'error') complaints.add(token.offset, token.message)
    else documents.push(...composer.next(token))
  }
  documents.push(...composer.end(true, text.length))
  const [document] = documents
  if (!document) throw new Error('the YAML library composed no document')
  for (const error of document.errors) complaints.add(error.pos[0], error.message)
  complaints.throwIfAny()
  return document
}

/** The concrete syntax of the text, which must hold one document. */
function* tokensOf(text: string, limits: Limits): Generator<CST.Token> {
  const parser = new Parser()
  let lexemes = 0
  for (const lexeme of new Lexer().lex(text)) {
    if (++lexemes > limits.tokens) {
      throw refusal('too_complex', parser.offset, `${limits.noun} may have at most ${limits.tokens} YAML tokens`)
    }
    yield* parser.next(lexeme)
    // The document itself and the scalar at the tip stand on the stack besides the collections.
    if (parser.stack.length > limits.depth + 2) throw tooDeep(parser.offset, limits)
  }
  yield* parser.end()
}

/** Lets one document pass, one end marker, and no directive that defines tags. */
function* oneDocument(tokens: Iterable<CST.Token>, { noun }: Limits): Generator<CST.Token> {
  const seen = { document: 0, 'doc-end': 0 }
  for (const token of tokens) {
    if ((token.type === 'document' || token.type === 'doc-end') && ++seen[token.type] > 1) {
      throw invalid(token.offset, `${noun} is one document`)
    }
    if (token.type === 'directive' && !token.source.startsWith('%YAML')) {
      throw invalid(token.offset, `${noun} may have no directive besides %YAML`)
    }
    yield token
  }
}

/** What the library says against the text. Past the first few it gives up: the rest are mostly echoes of those. */
class Complaints {
  private readonly faults: FaultEntry[] = []

  add(offset: number, message: string): void {
    this.faults.push({ code: 'invalid_yaml', offset, detail: `invalid YAML: ${message}`, path: [] })
    if (this.faults.length === maxComplaints) this.throwIfAny()
  }

  throwIfAny(): void {
    if (this.faults.length > 0) throw new UnreadableYaml(this.faults)
  }
}

type ComplaintSource = number | readonly number[] | { offset: number }

function offsetOf(source: ComplaintSource): number {
  if (typeof source === 'number') return source
  return 'offset' in source ? source.offset : (source[0] ?? 0)
}

function invalid(offset: number, detail: string): UnreadableYaml {
  return refusal('invalid_yaml', offset, `invalid YAML: ${detail}`)
}

export function tooDeep(offset: number, limits: Limits): UnreadableYaml {
  return refusal('too_deep', offset, `${limits.noun} may be nested at most ${limits.depth} levels deep`)
}

export function refusal(code: string, offset: number, detail: string): UnreadableYaml {
  return new UnreadableYaml([{ code, offset, detail, path: [] }])
}
