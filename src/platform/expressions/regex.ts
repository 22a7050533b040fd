import { type Matcher, RE2JS } from 're2js'
import { sizeOfPattern } from './regex-size.js'

export { sizeOfPattern } from './regex-size.js'

const LONGEST_PATTERN = 1_000
/** Instructions times characters. Some 40 million a second are worked off. */
const MOST_WORK = 10_000_000
const MOST_MADE = 4_194_304
/** Instructions of one pattern: 5,000 compile in some 60 ms. */
const LARGEST = 5_000
/** Each may keep 8 MB of what it has learnt of texts. */
const REMEMBERED = 16
const GROUP = /\$(?:\$|\{(\w+)\}|(\w+))/g

/** A pattern that is none, or one that would cost too much on this text. The message is for its author. */
export class UnusableRegex extends Error {}

/**
 * A regular expression of RE2's dialect: no look-around and no back references, and for that no pattern that takes more than linear time.
 * Flags may be written in front: `(?i)`.
 */
export interface LinearRegex {
  /** Instructions: what one character of text costs at most. */
  readonly size: number
  test(text: string): boolean
  find(text: string): string | undefined
  findAll(text: string): string[]
  /** `$1`, `${1}`, `$name` and `${name}` stand for groups, `$$` for a dollar. */
  replaceAll(text: string, replacement: string): string
  split(text: string): string[]
}

const known = new Map<string, LinearRegex>()

/** Throws `UnusableRegex`, as its verbs do where the text is too long for the pattern. */
export function linearRegex(pattern: string): LinearRegex {
  let regex = known.get(pattern)
  if (regex) return regex
  if (pattern.length > LONGEST_PATTERN)
    throw new UnusableRegex(`a pattern may have at most ${LONGEST_PATTERN} characters`)
  if (sizeOfPattern(pattern) > LARGEST) throw new UnusableRegex('the pattern repeats too much')
  regex = new Re2(compiled(pattern))
  if (known.size >= REMEMBERED) known.delete(known.keys().next().value as string)
  known.set(pattern, regex)
  return regex
}

function compiled(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern)
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^error parsing regexp: /, '') : 'it does not parse'
    throw new UnusableRegex(`the pattern is not a regular expression: ${why}`)
  }
}

class Re2 implements LinearRegex {
  readonly size: number

  constructor(private readonly pattern: RE2JS) {
    this.size = pattern.programSize()
  }

  test(text: string): boolean {
    return this.matcher(text).find()
  }

  find(text: string): string | undefined {
    const matcher = this.matcher(text)
    return matcher.find() ? (matcher.group() ?? '') : undefined
  }

  findAll(text: string): string[] {
    const matcher = this.matcher(text)
    const found: string[] = []
    while (matcher.find()) found.push(matcher.group() ?? '')
    return found
  }

  replaceAll(text: string, replacement: string): string {
    const matcher = this.matcher(text)
    const parts: string[] = []
    let end = 0
    let made = text.length
    while (matcher.find()) {
      const put = replacement.replace(GROUP, (_, braced?: string, bare?: string) => this.group(matcher, braced ?? bare))
      made += put.length
      if (made > MOST_MADE) throw new UnusableRegex('the replacement makes too much text')
      parts.push(text.slice(end, matcher.start()), put)
      end = matcher.end()
    }
    return parts.join('') + text.slice(end)
  }

  split(text: string): string[] {
    this.check(text)
    return this.pattern.split(text)
  }

  /** A group that there is not, or that did not match, is nothing. */
  private group(matcher: Matcher, name: string | undefined): string {
    if (name === undefined) return '$'
    if (!/^\d+$/.test(name)) return Object.hasOwn(this.pattern.namedGroups(), name) ? (matcher.group(name) ?? '') : ''
    return Number(name) <= this.pattern.groupCount() ? (matcher.group(Number(name)) ?? '') : ''
  }

  private matcher(text: string): Matcher {
    this.check(text)
    return this.pattern.matcher(text)
  }

  private check(text: string): void {
    if (this.size * text.length > MOST_WORK) throw new UnusableRegex('the text is too long for this pattern')
  }
}
