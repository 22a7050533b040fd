import type { FaultList } from './faults.js'
import type { Located, LocatedScalar, Member } from './located.js'

/** Where two complaints differ: about a value as written, or about something that is missing in it or wrong with it as a whole. */
type Spot = 'value' | 'key'

/** A place in a document, whether a value stands there or not. Null counts as nothing: it is what YAML reads from `params:`. */
export class Cursor {
  private constructor(
    readonly path: readonly string[],
    private readonly located: Located | undefined,
    readonly keyOffset: number,
  ) {}

  static root(located: Located): Cursor {
    return new Cursor([], located, located.offset)
  }

  get value(): Located | undefined {
    return this.located?.kind === 'scalar' && this.located.value === null ? undefined : this.located
  }

  /** True where the value's fault is told already. */
  get isUnusable(): boolean {
    return this.located?.kind === 'unusable'
  }

  get scalar(): LocatedScalar | undefined {
    return this.value?.kind === 'scalar' ? this.value : undefined
  }

  get string(): string | undefined {
    return typeof this.scalar?.value === 'string' ? this.scalar.value : undefined
  }

  get isMapping(): boolean {
    return this.value?.kind === 'mapping'
  }

  get names(): string[] {
    return this.value?.kind === 'mapping' ? [...this.value.members.keys()] : []
  }

  get members(): [name: string, member: Cursor][] {
    return this.names.map((name) => [name, this.member(name)])
  }

  get items(): Cursor[] {
    if (this.value?.kind !== 'list') return []
    return this.value.items.map((item, index) => new Cursor([...this.path, String(index)], item, item.offset))
  }

  member(name: string): Cursor {
    const member: Member | undefined = this.value?.kind === 'mapping' ? this.value.members.get(name) : undefined
    return new Cursor([...this.path, name], member?.value, member?.keyOffset ?? this.keyOffset)
  }

  /** The place that a pointer names, as far as there is one. */
  follow(path: readonly string[]): Cursor {
    return path.reduce<Cursor>((cursor, part) => cursor.items[Number(part)] ?? cursor.member(part), this)
  }

  complain(faults: FaultList, code: string, detail: string, spot: Spot = 'value'): void {
    const offset = spot === 'value' && this.value ? this.value.offset : this.keyOffset
    faults.add({ code, detail, path: this.path, offset })
  }
}
