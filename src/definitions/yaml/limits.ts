/** What one definition may cost. Hostile text is refused as soon as it crosses one of these, before it costs memory or time. */
export interface Limits {
  /** What the text is, in messages: `a flow definition`. */
  noun: string
  /** Bytes of the text in UTF-8. */
  bytes: number
  /** Mappings and lists inside each other, aliases followed. */
  depth: number
  /** Lexical tokens. 600,000 parse in about a second and 300 MB, whatever they spell. */
  tokens: number
  /** Values of the document, with every alias and merge key counted at the size of what it stands for. */
  values: number
  nodes: number
  /** Faults that are told one by one; the rest is only counted. */
  faults: number
}

export const defaultLimits: Limits = {
  noun: 'a flow definition',
  bytes: 1_048_576,
  depth: 100,
  tokens: 600_000,
  values: 200_000,
  nodes: 10_000,
  faults: 1_000,
}
