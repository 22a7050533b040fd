import type { Json } from '../../json.js'
import { type Call, Fault } from './call.js'
import { kindOf, textOf } from './values.js'

const VERB = /%(?:%|([-+# 0]*)(\d{1,4}|\*)?(?:\.(\d{1,3})?)?([a-zA-Z]))/g
const WIDEST = 1_000
const MOST_DIGITS = 100

/** `printf`, with Go's verbs as far as JSON has values for them: v s q d f g e x X o b c t T U. */
export function format(call: Call): string {
  const pattern = call.text(0)
  let next = 1
  const take = (): Json => {
    if (next >= call.count) throw new Fault('printf has fewer values than its format asks for')
    return call.value(next++)
  }
  const text = pattern.replace(VERB, (whole, flags?: string, width?: string, precision?: string, verb?: string) => {
    if (verb === undefined) return '%'
    const wide = width === '*' ? widthOf(take()) : Number(width ?? 0)
    if (wide > WIDEST || Number(precision ?? 0) > MOST_DIGITS) throw new Fault('printf makes no field that is so wide')
    const digits = precision !== undefined ? Number(precision) : whole.includes('.') ? 0 : undefined
    const written = one(call, verb, take(), flags ?? '', digits)
    const made = padded(written, wide, flags ?? '', verb)
    call.budget.write(made.length)
    return made
  })
  if (next < call.count) throw new Fault('printf has more values than its format asks for')
  return text
}

function one(call: Call, verb: string, value: Json, flags: string, digits: number | undefined): string {
  const plus = flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : ''
  const signed = (number: number, text: string) => (number >= 0 && plus ? plus + text : text)
  switch (verb) {
    case 'v':
    case 's': {
      const text = textOf(value, call.budget)
      return digits === undefined ? text : [...text].slice(0, digits).join('')
    }
    case 'q':
      return JSON.stringify(textOf(value, call.budget))
    case 't':
      if (typeof value !== 'boolean') throw wrong(verb, 'true or false', value)
      return String(value)
    case 'T':
      return kindOf(value)
    case 'd':
      return signed(whole(verb, value), BigInt(whole(verb, value)).toString())
    case 'x':
    case 'X': {
      const text = typeof value === 'string' ? Buffer.from(value).toString('hex') : whole(verb, value).toString(16)
      return verb === 'X' ? text.toUpperCase() : text
    }
    case 'o':
      return whole(verb, value).toString(8)
    case 'b':
      return whole(verb, value).toString(2)
    case 'c':
    case 'U': {
      const point = whole(verb, value)
      if (point < 0 || point > 0x10ffff) throw new Fault('printf takes no such character')
      return verb === 'c' ? String.fromCodePoint(point) : `U+${point.toString(16).toUpperCase().padStart(4, '0')}`
    }
    case 'f':
    case 'F':
      return signed(number(verb, value), number(verb, value).toFixed(digits ?? 6))
    case 'e':
    case 'E': {
      const text = number(verb, value)
        .toExponential(digits ?? 6)
        .replace(/e([+-])(\d)$/, 'e$10$2')
      return signed(number(verb, value), verb === 'E' ? text.toUpperCase() : text)
    }
    case 'g':
    case 'G':
      return signed(number(verb, value), String(digits ? Number(number(verb, value).toPrecision(digits)) : value))
    default:
      throw new Fault(`printf has no verb %${verb}`)
  }
}

function padded(text: string, width: number, flags: string, verb: string): string {
  const missing = width - [...text].length
  if (missing <= 0) return text
  if (flags.includes('-')) return text + ' '.repeat(missing)
  const isNumber = 'dfFeEgGxXob'.includes(verb)
  if (!flags.includes('0') || !isNumber) return ' '.repeat(missing) + text
  const sign = /^[+\- ]/.exec(text)?.[0] ?? ''
  return sign + '0'.repeat(missing) + text.slice(sign.length)
}

function widthOf(value: Json): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value
  throw new Fault('printf takes a whole number as a width')
}

function number(verb: string, value: Json): number {
  if (typeof value === 'number') return value
  throw wrong(verb, 'a number', value)
}

function whole(verb: string, value: Json): number {
  const found = number(verb, value)
  if (Number.isInteger(found)) return found
  throw new Fault(`printf takes a whole number for %${verb}`)
}

function wrong(verb: string, wanted: string, value: Json): Fault {
  return new Fault(`printf takes ${wanted} for %${verb}, not ${kindOf(value)}`)
}
