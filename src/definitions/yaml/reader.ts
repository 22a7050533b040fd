import { InvalidDuration, parseDuration } from '../../platform/duration.js'
import type { Cursor } from './cursor.js'
import { type FaultList, quote } from './faults.js'

const LONGEST_TEXT = 10_000
const LONGEST_TIME_MS = 30 * 86_400_000
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f]/

export interface TextRules {
  pattern?: RegExp
  /** What the pattern means, for people. */
  meaning?: string
  /** In characters. */
  longest?: number
}

/** Reads single values of a configuration. What is not there is undefined; what is not right, too, and its fault is told. */
export class Reader {
  constructor(private readonly faults: FaultList) {}

  complain(cursor: Cursor, code: string, detail: string, spot?: 'value' | 'key'): undefined {
    if (!cursor.isUnusable) cursor.complain(this.faults, code, detail, spot)
    return undefined
  }

  /** Whether a mapping stands here; of the keys that it may have, unless it may have any. */
  mapping(cursor: Cursor, what: string, keys?: readonly string[]): boolean {
    if (!cursor.value) return false
    if (!cursor.isMapping) {
      this.complain(cursor, 'type', `${what} must be a mapping`)
      return false
    }
    for (const [key, member] of keys ? cursor.members : [])
      if (!keys?.includes(key))
        this.complain(member, 'unknown_key', `unknown key ${quote(key)} in ${what} (known: ${keys?.join(', ')})`, 'key')
    return true
  }

  list(cursor: Cursor, what: string, most = 200): Cursor[] {
    if (!cursor.value) return []
    if (cursor.value.kind !== 'list') {
      this.complain(cursor, 'type', `${what} must be a list`)
      return []
    }
    if (cursor.items.length > most) {
      this.complain(cursor, 'too_many', `${what} may have at most ${most} entries`)
      return []
    }
    return cursor.items
  }

  text(cursor: Cursor, what: string, { pattern, meaning, longest = LONGEST_TEXT }: TextRules = {}) {
    const { value } = cursor
    if (!value) return undefined
    const text = cursor.string ?? plainScalar(cursor)
    if (text === undefined) return this.complain(cursor, 'type', `${what} must be a text`)
    if (text.length > longest)
      return this.complain(cursor, 'too_long', `${what} may have at most ${longest} characters`)
    if (CONTROL.test(text)) return this.complain(cursor, 'invalid', `${what} holds a control character`)
    if (pattern && !pattern.test(text)) return this.complain(cursor, 'pattern', `${what} must be ${meaning}`)
    return text
  }

  texts(cursor: Cursor, what: string, options: TextRules = {}): string[] {
    return this.list(cursor, what).flatMap((item) => {
      const text = this.text(item, `an entry of ${what}`, options)
      return text === undefined ? [] : [text]
    })
  }

  oneOf<const T extends string>(cursor: Cursor, what: string, words: readonly T[]): T | undefined {
    if (!cursor.value) return undefined
    const word = words.find((one) => one === cursor.string)
    return word ?? this.complain(cursor, 'enum', `${what} must be one of ${words.join(', ')}`)
  }

  flag(cursor: Cursor, what: string): boolean | undefined {
    const value = cursor.scalar?.value
    if (!cursor.value || typeof value === 'boolean') return value as boolean | undefined
    return this.complain(cursor, 'type', `${what} must be true or false`)
  }

  number(cursor: Cursor, what: string, [least, most]: readonly [number, number], whole = true): number | undefined {
    const value = cursor.scalar?.value
    if (!cursor.value) return undefined
    const fits = typeof value === 'number' && value >= least && value <= most && (!whole || Number.isInteger(value))
    return fits
      ? value
      : this.complain(cursor, 'range', `${what} must be a ${whole ? 'whole ' : ''}number from ${least} to ${most}`)
  }

  /** Milliseconds of a number of seconds, or of a text such as `15m`. */
  duration(cursor: Cursor, what: string): number | undefined {
    const { value } = cursor
    if (!value) return undefined
    const given = cursor.scalar?.value
    const ms = typeof given === 'number' ? given * 1000 : durationOf(cursor.string)
    if (ms !== undefined && ms >= 1 && ms <= LONGEST_TIME_MS) return Math.round(ms)
    return this.complain(cursor, 'duration', `${what} must be seconds, or a duration such as 15m, of at most 30 days`)
  }
}

/** What was meant as a text though it reads as a number or a boolean, such as a version of 1.0, as it was written. */
function plainScalar(cursor: Cursor): string | undefined {
  const { scalar } = cursor
  return scalar && scalar.value !== null ? scalar.source : undefined
}

function durationOf(text: string | undefined): number | undefined {
  try {
    return text === undefined ? undefined : parseDuration(text)
  } catch (error) {
    if (error instanceof InvalidDuration) return undefined
    throw error
  }
}
