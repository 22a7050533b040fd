import { createHash } from 'node:crypto'
import { plainText } from '../../engine/plain.js'
import type { Concurrency, RunSettings } from '../../engine/run-settings.js'
import { evaluatePath, isPathFrom } from '../../platform/expressions/path.js'
import { ExpressionSyntaxError, findExpressions } from '../../platform/expressions/scan.js'
import { compileTemplate, type Template } from '../../platform/expressions/template.js'
import type { Json } from '../../platform/json.js'
import type { Cursor } from '../yaml/cursor.js'
import { type FaultList, quote } from '../yaml/faults.js'

/** The top-level key that says how a flow's runs are to be treated; the other keys with `x-` are the author's own. */
export const SETTINGS_KEY = 'x-run'

const priorities = { minimum: -100, maximum: 100 }
const limits = { minimum: 1, maximum: 1_000 }
const tagPattern = /^[a-z0-9][a-z0-9_-]{0,62}$/
/** Characters of a key as it is kept; a longer one is known by its hash, and so is each value in it. */
const longestKey = 200
/** Characters of the text that says what the key is: it is read whenever a run is accepted. */
const longestKeyText = 1_000

/** What a flow asks for its runs. Absent where it says nothing, and where it has faults. */
export function readRunSettings(cursor: Cursor, faults: FaultList): RunSettings | undefined {
  if (!cursor.value) return undefined
  const settings = new SettingsReader(faults)
  if (!settings.isMapping(cursor, SETTINGS_KEY, ['priority', 'tag', 'concurrency'])) return undefined
  const priority = settings.integer(cursor.member('priority'), 'priority', priorities)
  const tag = settings.tag(cursor.member('tag'))
  const concurrency = settings.concurrency(cursor.member('concurrency'))
  return {
    ...(priority !== undefined && { priority }),
    ...(tag !== undefined && { tag }),
    ...(concurrency && { concurrency }),
  }
}

class SettingsReader {
  constructor(private readonly faults: FaultList) {}

  isMapping(cursor: Cursor, what: string, keys: readonly string[]): boolean {
    if (cursor.isUnusable) return false
    if (!cursor.isMapping) {
      this.complain(cursor, 'type', `${what} must be a mapping with ${keys.join(', ')}`)
      return false
    }
    for (const [key, member] of cursor.members) {
      if (!keys.includes(key))
        this.complain(member, 'unknown_key', `unknown key ${quote(key)} in ${what} (known: ${keys.join(', ')})`, 'key')
    }
    return true
  }

  integer(cursor: Cursor, noun: string, { minimum, maximum }: { minimum: number; maximum: number }) {
    if (!cursor.value) return undefined
    const value = cursor.scalar?.value
    if (typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum) return value
    this.complain(cursor, 'range', `${noun} of ${SETTINGS_KEY} must be a whole number from ${minimum} to ${maximum}`)
    return undefined
  }

  tag(cursor: Cursor): string | undefined {
    if (!cursor.value) return undefined
    if (cursor.string !== undefined && tagPattern.test(cursor.string)) return cursor.string
    const words = 'a text of at most 63 lower-case letters, digits, - and _, beginning with a letter or digit'
    this.complain(cursor, 'pattern', `tag of ${SETTINGS_KEY} must be ${words}`)
    return undefined
  }

  concurrency(cursor: Cursor): Concurrency | undefined {
    if (!cursor.value || !this.isMapping(cursor, `concurrency of ${SETTINGS_KEY}`, ['key', 'limit'])) return undefined
    const limit = this.integer(cursor.member('limit'), 'concurrency limit', limits)
    if (!cursor.member('limit').value)
      this.complain(cursor.member('limit'), 'required', `concurrency of ${SETTINGS_KEY} has no limit`)
    const key = this.key(cursor.member('key'))
    return limit === undefined || key === undefined ? undefined : { limit, key }
  }

  /** Without a key all runs of the flow have the same. */
  private key(cursor: Cursor): Concurrency['key'] | undefined {
    if (!cursor.value) return () => ''
    const text = cursor.string
    if (text === undefined) this.complain(cursor, 'type', `concurrency key of ${SETTINGS_KEY} must be a text`)
    else if (text.length > longestKeyText)
      this.complain(cursor, 'range', `concurrency key of ${SETTINGS_KEY} has more than ${longestKeyText} characters`)
    else if (this.isReadable(cursor, text)) {
      const template = compileTemplate({ key: text })
      return (input) => keyOf(template, input)
    }
    return undefined
  }

  /** It is told before the run is accepted, so it may hold what a look at the input tells and nothing that has to be evaluated. */
  private isReadable(cursor: Cursor, text: string): boolean {
    try {
      for (const { code } of findExpressions(text)) {
        if (isPathFrom('input', code)) continue
        const detail = `concurrency key of ${SETTINGS_KEY} may hold only members of the input, such as \${input.customer_id}`
        this.complain(cursor, 'expression', detail)
        return false
      }
      return true
    } catch (error) {
      if (!(error instanceof ExpressionSyntaxError)) throw error
      this.complain(cursor, 'expression', "a '${' without its closing '}'")
      return false
    }
  }

  private complain(cursor: Cursor, code: string, detail: string, spot?: 'key'): void {
    if (!cursor.isUnusable) cursor.complain(this.faults, code, detail, spot)
  }
}

/**
 * A member that the input does not have counts as an empty text, so that no run evades the limit. However often a large one is named, it
 * is gone through once and never repeated in full.
 */
function keyOf(template: Template<{ key: string }>, input: Json): string {
  const known = new Map<Json, string>()
  const values = template.scripts.map(({ code }) => {
    const value = member(code, input)
    const text = known.get(value) ?? short(textOf(value))
    known.set(value, text)
    return text
  })
  return short(template.render(values).key)
}

function textOf(value: Json): string {
  if (value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function short(text: string): string {
  const plain = plainText(text)
  return plain.length <= longestKey ? plain : `sha256:${createHash('sha256').update(plain).digest('hex')}`
}

function member(code: string, input: Json): Json {
  try {
    return evaluatePath(code, { input })?.value ?? null
  } catch {
    return null
  }
}
