import type { Json } from '../../json.js'
import { ExpressionSyntaxError } from '../scan.js'
import { functions } from './functions.js'
import { type Part, partsOf, quoted, type Token } from './lexer.js'
import type { Branch, Command, Mention, Node, Operand, Pipe, Root } from './tree.js'

/** Blocks and parentheses inside each other. */
const DEEPEST = 100
const WORDS = new Map<string, Json>([
  ['true', true],
  ['false', false],
  ['nil', null],
  ['null', null],
])
const BLOCKS = ['if', 'with', 'range'] as const
const KEYWORDS: ReadonlySet<string> = new Set([...BLOCKS, 'else', 'end', 'break', 'continue'])
const CLOCK = 'now'
const NOT_HERE: ReadonlySet<string> = new Set(['define', 'template', 'block'])

/** What the host offers beyond the library. */
export interface HostNames {
  /** Variables with their `$`; any other that the template does not declare itself is a fault. Undefined lets every name pass. */
  readonly variables?: ReadonlySet<string>
  /** Functions that are spelled as members of a variable, such as `$kv.get`. */
  readonly functions?: ReadonlySet<string>
  /** False where `.` has no meaning outside `range` and `with`. */
  readonly dot?: boolean
}

export interface Tree {
  readonly nodes: readonly Node[]
  /** Every variable of the host's that is mentioned. */
  readonly mentions: readonly Mention[]
  /** Functions of the host's that are called. */
  readonly calls: readonly string[]
  /** Places for the variables that the template declares. */
  readonly slots: number
  /** Whether `now` is called. */
  readonly usesClock: boolean
}

/** A template's text as a tree. Throws `ExpressionSyntaxError` with the place of the first fault. */
export function parse(text: string, host: HostNames): Tree {
  return new Parser(partsOf(text), host).tree()
}

type End = 'end' | 'else' | undefined

class Parser {
  private readonly mentions: Mention[] = []
  private readonly calls: string[] = []
  /** What is declared where the parser stands, in order, and the slots of each name, innermost last. */
  private readonly declared: string[] = []
  private readonly slotsOf = new Map<string, number[]>()
  private slots = 0
  private usesClock = false
  private part = 0
  private depth = 0
  /** Where dot is a value of the template's own making. */
  private inside = 0
  private ranges = 0
  private tokens: readonly Token[] = []
  private position = 0
  private action = { from: 0, to: 0 }

  constructor(
    private readonly parts: readonly Part[],
    private readonly host: HostNames,
  ) {}

  tree(): Tree {
    const { nodes, end } = this.nodes()
    if (end) throw this.fault(`'${end}' without a block that it belongs to`, this.action.from)
    return { nodes, mentions: this.mentions, calls: this.calls, slots: this.slots, usesClock: this.usesClock }
  }

  /** Up to the `end` or `else` of the block around, which is read already. */
  private nodes(): { nodes: Node[]; end: End } {
    const nodes: Node[] = []
    for (;;) {
      const part = this.parts[this.part++]
      if (!part) return { nodes, end: undefined }
      if (part.kind === 'text') {
        nodes.push(part)
        continue
      }
      this.open(part)
      const word = this.peek()?.kind === 'name' ? (this.peek()?.text as string) : ''
      if (word === 'end' || word === 'else') {
        this.position++
        if (word === 'end') this.close()
        return { nodes, end: word }
      }
      nodes.push(this.node(word))
    }
  }

  private node(word: string): Node {
    if (NOT_HERE.has(word)) throw this.fault(`'${word}' is not supported`, this.action.from)
    const block = BLOCKS.find((one) => one === word)
    if (block) {
      this.position++
      return this.block(block)
    }
    if (word === 'break' || word === 'continue') {
      if (this.ranges === 0) throw this.fault(`'${word}' outside a range`, this.action.from)
      this.position++
      this.close()
      return { kind: word }
    }
    const pipe = this.pipe(1)
    this.close()
    return { kind: 'action', pipe }
  }

  private block(kind: Branch['kind']): Branch {
    const { from } = this.action
    this.deeper(from)
    const scope = this.declared.length
    const pipe = this.pipe(kind === 'range' ? 2 : 1)
    this.close()
    if (kind !== 'if') this.inside++
    if (kind === 'range') this.ranges++
    const { nodes: body, end } = this.nodes()
    if (kind !== 'if') this.inside--
    if (kind === 'range') this.ranges--
    const otherwise = end === 'else' ? this.otherwise(kind, from) : []
    if (end === undefined) throw this.fault(`'${kind}' without its 'end'`, from)
    this.leave(scope)
    this.depth--
    return { kind, pipe, body, otherwise }
  }

  /** Behind the word `else`. */
  private otherwise(kind: Branch['kind'], from: number): Node[] {
    const word = this.peek()?.kind === 'name' ? this.peek()?.text : undefined
    if (word !== undefined && (word === 'if' || word === 'with') && kind !== 'range') {
      this.position++
      // The one `end` closes both.
      return [this.block(word)]
    }
    this.close()
    const scope = this.declared.length
    const { nodes, end } = this.nodes()
    this.leave(scope)
    if (end === 'else') throw this.fault("a second 'else'", this.action.from)
    if (end === undefined) throw this.fault(`'${kind}' without its 'end'`, from)
    return nodes
  }

  /** Variables are known from behind the pipe that they take their value from. */
  private pipe(most: 1 | 2): Pipe {
    const from = this.peek()?.at ?? this.action.from
    const { names, declares } = this.targets(most)
    const commands = [this.command()]
    while (this.take('|')) commands.push(this.command())
    const to = this.tokens[this.position - 1]?.end ?? this.action.to
    const targets = names.map((token) => (declares ? this.declare(token) : this.assigned(token)))
    return { commands, targets, from, to }
  }

  private targets(most: 1 | 2): { names: Token[]; declares: boolean } {
    const none = { names: [], declares: false }
    const [first, second, third, fourth] = this.tokens.slice(this.position, this.position + 4)
    if (first?.kind !== 'variable') return none
    const isPair = second?.text === ',' && third?.kind === 'variable'
    const sign = isPair ? fourth : second
    if (sign?.kind !== 'mark' || (sign.text !== ':=' && sign.text !== '=')) return none
    if (isPair && most === 1) throw this.fault("only 'range' has two variables", first.at)
    this.position += isPair ? 4 : 2
    return { names: isPair ? [first, third as Token] : [first], declares: sign.text === ':=' }
  }

  private declare({ text: name, at }: Token): number {
    if (name === '$') throw this.fault("'$' is the whole: give the variable a name", at)
    if (this.host.variables?.has(name)) throw this.fault(`${quoted(name)} has a meaning already`, at)
    const slot = this.slots++
    const known = this.slotsOf.get(name)
    if (known) known.push(slot)
    else this.slotsOf.set(name, [slot])
    this.declared.push(name)
    return slot
  }

  /** Forgets what was declared since. */
  private leave(scope: number): void {
    while (this.declared.length > scope) this.slotsOf.get(this.declared.pop() as string)?.pop()
  }

  private slotOf(name: string): number | undefined {
    return this.slotsOf.get(name)?.at(-1)
  }

  private assigned({ text: name, at }: Token): number {
    const slot = this.slotOf(name)
    if (slot === undefined) throw this.fault(`${quoted(name)} is not declared: write ${name} := …`, at)
    return slot
  }

  private command(): Command {
    const operand = this.operand()
    const args: Operand[] = []
    for (;;) {
      const token = this.peek()
      if (!token || (token.kind === 'mark' && token.text !== '(')) break
      if (token.joined) throw this.fault(`${quoted(token.text)} stands too close to what comes before it`, token.at)
      args.push(this.operand())
    }
    if (args.length > 0 && operand.kind !== 'function') {
      const { at, text } = this.tokens[this.position - 1] as Token
      const hint = /^(?:and|or|eq|ne|lt|le|gt|ge|in|is)$/.test(text) ? ': write the function first' : ''
      throw this.fault(`what comes before ${quoted(text)} is no function, and takes nothing behind it${hint}`, at)
    }
    return { operand, args }
  }

  private operand(): Operand {
    const token = this.tokens[this.position++]
    if (!token) throw this.fault('an expression is missing', this.tokens.at(-1)?.end ?? this.action.from)
    const { kind, text, at } = token
    switch (kind) {
      case 'text':
        return { kind: 'literal', value: text }
      case 'number':
        return { kind: 'literal', value: this.number(text, at) }
      case 'name':
        return this.word(text, at)
      case 'dot':
        this.checkDot(at)
        return { kind: 'path', root: { kind: 'dot' }, steps: [], at }
      case 'field':
        this.checkDot(at)
        return { kind: 'path', root: { kind: 'dot' }, steps: [text, ...this.steps()], at }
      case 'variable':
        return this.variable(text, at)
      case 'mark':
        if (text === '(') return this.parenthesised(at)
        throw this.fault(`${quoted(text)} stands where a value should`, at)
    }
  }

  private word(name: string, at: number): Operand {
    const value = WORDS.get(name)
    if (value !== undefined) return { kind: 'literal', value }
    if (KEYWORDS.has(name)) throw this.fault(`${quoted(name)} stands where a value should`, at)
    if (!functions.has(name)) {
      const next = this.peek()
      const hint = next?.joined && next.kind === 'field' ? ` (a member of the current value is .${name})` : ''
      throw this.fault(`there is no function ${quoted(name)}${hint}`, at)
    }
    if (name === CLOCK) this.usesClock = true
    return { kind: 'function', name, at }
  }

  private variable(name: string, at: number): Operand {
    const steps = this.steps()
    if (name === '$') {
      this.checkDot(at, true)
      return { kind: 'path', root: { kind: 'whole' }, steps, at }
    }
    const slot = this.slotOf(name)
    if (slot !== undefined) return { kind: 'path', root: { kind: 'slot', slot }, steps, at }
    const call = `${name}.${steps[0] ?? ''}`
    if (this.host.functions?.has(call)) {
      if (steps.length > 1) throw this.fault(`${quoted(call)} is a function: put its call in parentheses`, at)
      this.calls.push(call)
      return { kind: 'function', name: call, at }
    }
    if (this.host.variables && !this.host.variables.has(name)) throw this.fault(this.noVariable(name, call), at)
    this.mentions.push({ name, steps, at })
    return { kind: 'path', root: { kind: 'host', name }, steps, at }
  }

  private noVariable(name: string, call: string): string {
    const functions = [...(this.host.functions ?? [])].filter((one) => one.startsWith(`${name}.`))
    return functions.length > 0
      ? `there is no function ${quoted(call)} (known: ${functions.join(', ')})`
      : `there is no variable ${quoted(name)}`
  }

  private parenthesised(at: number): Operand {
    this.deeper(at)
    const pipe = this.pipe(1)
    if (pipe.targets.length > 0) throw this.fault('a variable cannot be set inside parentheses', at)
    if (!this.take(')')) throw this.fault("a '(' without its closing ')'", at)
    this.depth--
    const root: Root = { kind: 'pipe', pipe }
    return { kind: 'path', root, steps: this.steps(), at }
  }

  private steps(): (string | number)[] {
    const steps: (string | number)[] = []
    for (let token = this.peek(); token?.joined; token = this.peek()) {
      if (token.kind !== 'field' && token.kind !== 'number') break
      steps.push(token.kind === 'field' ? token.text : Number(token.text))
      this.position++
    }
    return steps
  }

  private number(text: string, at: number): number {
    const value = Number(text)
    const signed = /^[+-]0x/i.test(text) ? Number(text.slice(1)) * (text[0] === '-' ? -1 : 1) : value
    if (!Number.isFinite(signed)) throw this.fault(`${quoted(text)} is too large a number`, at)
    return signed === 0 ? 0 : signed
  }

  private checkDot(at: number, isWhole = false): void {
    if (this.host.dot !== false || (this.inside > 0 && !isWhole)) return
    const name = isWhole ? '$' : '.'
    throw this.fault(`'${name}' means nothing here: begin with a variable, such as $prev`, at)
  }

  private deeper(at: number): void {
    if (++this.depth > DEEPEST) throw this.fault(`more than ${DEEPEST} blocks or parentheses inside each other`, at)
  }

  private open({ tokens, from, to }: Part & { kind: 'action' }): void {
    this.tokens = tokens
    this.position = 0
    this.action = { from, to }
  }

  /** The action must end here. */
  private close(): void {
    const token = this.peek()
    if (token) throw this.fault(`${quoted(token.text)} is not expected here`, token.at)
  }

  private peek(): Token | undefined {
    return this.tokens[this.position]
  }

  private take(mark: string): boolean {
    const token = this.peek()
    if (token?.kind !== 'mark' || token.text !== mark) return false
    this.position++
    return true
  }

  private fault(message: string, at: number): ExpressionSyntaxError {
    return new ExpressionSyntaxError(message, at)
  }
}
