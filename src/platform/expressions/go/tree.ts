import type { Json } from '../../json.js'

/* A template once it is parsed. Places are counted from 0 in the whole text. */

export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly pipe: Pipe }
  | Branch
  | { readonly kind: 'break' | 'continue' }

/** `if`, `with` and `range`, each with its `else`. */
export interface Branch {
  readonly kind: 'if' | 'with' | 'range'
  readonly pipe: Pipe
  readonly body: readonly Node[]
  readonly otherwise: readonly Node[]
}

/** Commands, each of which gets the value of the one before as its last argument. */
export interface Pipe {
  readonly commands: readonly Command[]
  /** Slots of the variables that take the value: one, or two in a `range`. */
  readonly targets: readonly number[]
  /** Where it stands in the text. */
  readonly from: number
  readonly to: number
}

export interface Command {
  readonly operand: Operand
  readonly args: readonly Operand[]
}

export type Operand =
  | { readonly kind: 'literal'; readonly value: Json }
  /** A function of the library, or one of the host such as `$kv.get`. */
  | { readonly kind: 'function'; readonly name: string; readonly at: number }
  | { readonly kind: 'path'; readonly root: Root; readonly steps: readonly (string | number)[]; readonly at: number }

export type Root =
  | { readonly kind: 'dot' }
  /** `$`: what dot was at the beginning. */
  | { readonly kind: 'whole' }
  | { readonly kind: 'slot'; readonly slot: number }
  /** A variable that the host offers, with its `$`. */
  | { readonly kind: 'host'; readonly name: string }
  | { readonly kind: 'pipe'; readonly pipe: Pipe }

/** A mention of a variable of the host's: `$prev.fetch.body` is `{name: '$prev', steps: ['fetch', 'body']}`. */
export interface Mention {
  readonly name: string
  readonly steps: readonly (string | number)[]
  readonly at: number
}
