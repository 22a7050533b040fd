import { type Document, isAlias, isScalar, isSeq, type ParsedNode, type YAMLMap, type YAMLSeq } from 'yaml'
import { type FaultList, quote } from './faults.js'
import type { Limits } from './limits.js'
import type { Located, LocatedScalar, Member } from './located.js'
import { refusal, tooDeep } from './yaml-text.js'

const maxKeyLength = 1024
/** JSON and PostgreSQL's text hold neither. They come from escapes in double quotes. */
const unstorable = /[\0\p{Cs}]/u

/** What each tag of the core schema promises about its value. Any other tag asks for a type that JSON does not have. */
const tagPromises = new Map<string, (located: Located) => boolean>([
  ['!', () => true],
  ['tag:yaml.org,2002:str', (located) => located.kind === 'scalar'],
  ['tag:yaml.org,2002:int', (located) => located.kind === 'scalar' && Number.isInteger(located.value)],
  ['tag:yaml.org,2002:float', (located) => located.kind === 'scalar' && typeof located.value === 'number'],
  ['tag:yaml.org,2002:bool', (located) => located.kind === 'scalar' && typeof located.value === 'boolean'],
  ['tag:yaml.org,2002:null', (located) => located.kind === 'scalar' && located.value === null],
  ['tag:yaml.org,2002:map', (located) => located.kind === 'mapping'],
  ['tag:yaml.org,2002:seq', (located) => located.kind === 'list'],
])

/**
 * Reads a document's tree into located values that JSON can carry, following aliases and merge keys. What an alias stands for is read
 * once and shared, but counted at its full size wherever it is used: a bomb of aliases is refused before anyone unfolds it. Faults of
 * single values are listed; past a limit it throws `UnreadableYaml`.
 */
export class Walk {
  /** The latest value of each name; null while it is still being read. */
  private readonly anchors = new Map<string, Located | null>()
  private readonly path: string[] = []
  private values = 0

  constructor(
    private readonly limits: Limits,
    private readonly faults: FaultList,
    private readonly warnings: FaultList,
  ) {}

  root(document: Document.Parsed<ParsedNode>): Located {
    return this.node(document.contents, 0, 1)
  }

  /** `depth` is the level of this value if it is a collection. */
  private node(node: ParsedNode | null, fallbackOffset: number, depth: number): Located {
    if (!node) return this.scalar(null, '', fallbackOffset)
    const offset = node.range[0]
    if (isAlias(node)) return this.alias(node.source, offset, depth)
    if (node.anchor) this.anchors.set(node.anchor, null)
    const located = this.tagged(this.content(node, offset, depth), node.tag)
    if (node.anchor) this.anchors.set(node.anchor, located)
    return located
  }

  private content(node: ParsedNode, offset: number, depth: number): Located {
    if (isScalar(node)) return this.scalar(node.value, node.source ?? '', offset)
    if (depth > this.limits.depth) throw tooDeep(offset, this.limits)
    this.spend(1, offset)
    return isSeq(node)
      ? this.list(node as YAMLSeq.Parsed, offset, depth)
      : this.mapping(node as YAMLMap.Parsed, offset, depth)
  }

  private scalar(value: unknown, source: string, offset: number): Located {
    this.spend(1, offset)
    if (typeof value === 'number' && !Number.isFinite(value)) {
      return this.unusable('invalid_yaml', `JSON has no number ${excerpt(source)}`, offset)
    }
    if (typeof value === 'string' && unstorable.test(value)) {
      return this.unusable('invalid_yaml', 'the text holds U+0000 or half of a surrogate pair', offset)
    }
    if (Number.isInteger(value) && !Number.isSafeInteger(value) && /^[-+]?\d+$/.test(source)) {
      const detail = `the number ${excerpt(source)} is too long to be kept exactly: put it in quotes to keep every digit`
      this.warnings.add({ code: 'inexact_number', detail, path: this.path, offset })
    }
    return { kind: 'scalar', value: (value ?? null) as LocatedScalar['value'], source, offset, size: 1, height: 0 }
  }

  private list(node: YAMLSeq.Parsed, offset: number, depth: number): Located {
    const before = this.values
    const items = node.items.map((item, index) =>
      this.inside(String(index), () => this.node(item as ParsedNode | null, offset, depth + 1)),
    )
    return { kind: 'list', items, offset, size: 1 + this.values - before, height: 1 + tallest(items) }
  }

  private mapping(node: YAMLMap.Parsed, offset: number, depth: number): Located {
    const before = this.values
    const members = new Map<string, Member>()
    let merged: readonly Located[] | undefined
    for (const pair of node.items) {
      const keyOffset = pair.key?.range[0] ?? offset
      const isMerge = isMergeKey(pair.key)
      const key = isMerge ? '<<' : this.key(pair.key, keyOffset, depth + 1)
      this.inside(key ?? '', () => {
        const value = this.node(pair.value, keyOffset, depth + 1)
        if (key === undefined) return
        if (isMerge ? merged : members.has(key)) this.duplicate(key, keyOffset)
        else if (isMerge) merged = this.mergeSources(value)
        else members.set(key, { keyOffset, value })
      })
    }
    for (const source of merged ?? []) mergeInto(members, source)
    const values = Array.from(members.values(), (member) => member.value)
    return { kind: 'mapping', members, offset, size: 1 + this.values - before, height: 1 + tallest(values) }
  }

  /** A key's text, or undefined with its fault told. */
  private key(node: ParsedNode | null, offset: number, depth: number): string | undefined {
    const located = this.node(node, offset, depth)
    if (located.kind === 'unusable') return undefined
    if (located.kind === 'scalar' && typeof located.value === 'string') {
      if (located.value.length <= maxKeyLength) return located.value
      this.unusable('invalid_yaml', `a key may have at most ${maxKeyLength} characters`, offset)
    } else if (located.kind === 'scalar') {
      this.unusable('invalid_yaml', `the key ${excerpt(located.source)} is no text: put it in quotes`, offset)
    } else this.unusable('invalid_yaml', 'a key must be a text', offset)
    return undefined
  }

  private alias(name: string, offset: number, depth: number): Located {
    this.spend(1, offset)
    const target = this.anchors.get(name)
    if (!target) {
      const why = target === null ? 'stands inside its own anchor' : 'has no anchor before it'
      return this.unusable('invalid_yaml', `the alias ${quote(`*${name}`)} ${why}`, offset)
    }
    if (depth - 1 + target.height > this.limits.depth) throw tooDeep(offset, this.limits)
    this.spend(target.size, offset)
    return { ...target, offset }
  }

  private mergeSources(value: Located): readonly Located[] {
    const sources = value.kind === 'list' ? value.items : [value]
    const isMergeable = sources.every(({ kind }) => kind === 'mapping' || kind === 'unusable')
    if (isMergeable) return sources
    this.unusable('invalid_yaml', "'<<' takes a mapping or a list of mappings", value.offset)
    return []
  }

  private tagged(located: Located, tag: string | undefined): Located {
    if (tag === undefined || located.kind === 'unusable') return located
    const holds = tagPromises.get(tag)
    if (holds?.(located)) return located
    const shown = quote(tag.replace('tag:yaml.org,2002:', '!!'))
    const detail = holds ? `the value is not what its tag ${shown} says` : `the tag ${shown} is not supported`
    return this.unusable('invalid_yaml', detail, located.offset)
  }

  private duplicate(key: string, offset: number): void {
    this.unusable('duplicate_key', `the key ${quote(key)} is written twice`, offset)
  }

  private unusable(code: string, detail: string, offset: number): Located {
    this.faults.add({ code, detail: `invalid YAML: ${detail}`, path: this.path, offset })
    return { kind: 'unusable', offset, size: 1, height: 0 }
  }

  private inside<T>(part: string, read: () => T): T {
    this.path.push(part)
    const result = read()
    this.path.pop()
    return result
  }

  private spend(values: number, offset: number): void {
    this.values += values
    if (this.values > this.limits.values) {
      throw refusal(
        'too_complex',
        offset,
        `${this.limits.noun} may have at most ${this.limits.values} values, aliases unfolded`,
      )
    }
  }
}

/** `<<` merges only as a plain word; in quotes it is a key like any other. */
function isMergeKey(key: ParsedNode | null): boolean {
  return isScalar(key) && key.type === 'PLAIN' && key.source === '<<' && key.tag === undefined
}

/** What a mapping says itself, and what an earlier source says, wins. */
function mergeInto(members: Map<string, Member>, source: Located): void {
  if (source.kind !== 'mapping') return
  for (const [key, member] of source.members) if (!members.has(key)) members.set(key, member)
}

function tallest(values: readonly Located[]): number {
  return values.reduce((height, value) => Math.max(height, value.height), 0)
}

function excerpt(source: string): string {
  return quote(source.length > 40 ? `${source.slice(0, 40)}…` : source)
}
