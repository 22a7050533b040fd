import { pointerOf } from '../../platform/json-pointer.js'

/** Something wrong with a definition, and where it stands in the text. */
export interface DefinitionFault {
  detail: string
  /** A stable word for programs, such as `unknown_node_type`. */
  code: string
  /** JSON pointer into the YAML document, such as `/nodes/a/next/default`. Empty for the document itself. */
  path: string
  /** Counted from 1. */
  line: number
  /** Counted from 1, in UTF-16 units, as editors count. */
  column: number
}

/** The words behind a fault's code, together with where they apply. */
export interface FaultEntry {
  detail: string
  code: string
  path: readonly string[]
  offset: number
}

/** Told paths and messages together stay below this many characters, since one long key can be part of many paths. */
const maxText = 1_048_576

/** Collects the faults of one document and hands them out in its order. Faults at the same place keep the order of their finding. */
export class FaultList {
  private readonly told: (Omit<FaultEntry, 'path'> & { path: string })[] = []
  private untold = 0
  private text = 0

  constructor(private readonly limit: number) {}

  get isEmpty(): boolean {
    return this.told.length === 0
  }

  add({ detail, code, path, offset }: FaultEntry): void {
    if (this.told.length >= this.limit || this.text > maxText) {
      this.untold++
      return
    }
    const pointer = pointerOf(path)
    this.text += pointer.length + detail.length
    this.told.push({ detail, code, path: pointer, offset })
  }

  inOrder(position: (offset: number) => { line: number; column: number }): DefinitionFault[] {
    const faults = this.told
      .sort((a, b) => a.offset - b.offset)
      .map(({ detail, code, path, offset }) => ({ detail, code, path, ...position(offset) }))
    const last = faults.at(-1)
    if (last && this.untold > 0) {
      faults.push({ ...last, detail: `and ${this.untold} more faults`, code: 'too_many_faults', path: '' })
    }
    return faults
  }
}

/** A name as messages show it: in quotes, cut at 128 characters, control characters escaped. */
export function quote(name: string): string {
  const shown = name.length > 128 ? `${name.slice(0, 128)}…` : name
  return `'${shown.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/gu, escapeCharacter)}'`
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** `'a'`, `'a' and 'b'`, `'a', 'b' and 'c'`; beyond a hundred names the rest is counted. */
export function quoteAll(names: readonly string[]): string {
  const shown = names.length > 100 ? names.slice(0, 99).map(quote) : names.map(quote)
  if (shown.length < names.length) shown.push(`${names.length - shown.length} more`)
  const last = shown.pop() ?? ''
  return shown.length === 0 ? last : `${shown.join(', ')} and ${last}`
}
