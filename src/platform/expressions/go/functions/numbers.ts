import type { Json } from '../../../json.js'
import { type Call, Fault, type GoFunction } from '../call.js'
import { isTrue } from '../values.js'

const NUMERAL = /^\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*$/
const MOST_DIGITS = 15

/** A quotient is exact: whether data happens to be whole does not decide what it is. `int` cuts it. */
export const numbers: Readonly<Record<string, GoFunction>> = {
  add: { least: 1, run: (call) => fold(call, (sum, number) => sum + number) },
  sub: { least: 2, run: (call) => fold(call, (rest, number) => rest - number) },
  mul: { least: 1, run: (call) => fold(call, (product, number) => product * number) },
  div: { least: 2, most: 2, run: (call) => call.number(0) / divisor(call) },
  /** With the sign of the first, as in Go. */
  mod: { least: 2, most: 2, run: (call) => call.number(0) % divisor(call) },
  add1: { least: 1, most: 1, run: (call) => call.number(0) + 1 },
  max: { least: 1, run: (call) => fold(call, Math.max) },
  min: { least: 1, run: (call) => fold(call, Math.min) },
  abs: { least: 1, most: 1, run: (call) => Math.abs(call.number(0)) },
  floor: { least: 1, most: 1, run: (call) => Math.floor(call.number(0)) },
  ceil: { least: 1, most: 1, run: (call) => Math.ceil(call.number(0)) },
  /** `round 2.345 2` is 2.35; without digits to a whole number. Halves away from 0. */
  round: { least: 1, most: 2, run: (call) => rounded(call.number(0), call.has(1) ? call.whole(1) : 0) },
  sum: { least: 1, most: 1, run: sum },

  int: { least: 1, most: 1, run: (call) => Math.trunc(asNumber(call)) },
  int64: { least: 1, most: 1, run: (call) => Math.trunc(asNumber(call)) },
  float: { least: 1, most: 1, run: asNumber },
  float64: { least: 1, most: 1, run: asNumber },
  atoi: { least: 1, most: 1, run: (call) => Math.trunc(asNumber(call)) },
  bool: { least: 1, most: 1, run: asBoolean },
  toBool: { least: 1, most: 1, run: asBoolean },
}

function fold(call: Call, combine: (one: number, other: number) => number): number {
  let result = call.number(0)
  for (let at = 1; at < call.count; at++) result = combine(result, call.number(at))
  return result
}

function divisor(call: Call): number {
  const number = call.number(1)
  if (number === 0) throw new Fault(`${call.name} by zero`)
  return number
}

function rounded(number: number, digits: number): number {
  if (digits < 0 || digits > MOST_DIGITS) throw new Fault(`round takes 0 to ${MOST_DIGITS} digits`)
  // By the decimal digits that are shown, so that 1.005 is what it looks like.
  const [mantissa = '0', exponent = '0'] = Math.abs(number).toExponential().split('e')
  const scaled = Math.round(Number(`${mantissa}e${Number(exponent) + digits}`))
  const result = Number(`${scaled}e-${digits}`)
  return Number.isFinite(result) ? Math.sign(number) * result : number
}

function sum(call: Call): number {
  let total = 0
  for (const number of call.list(0)) {
    if (typeof number !== 'number') throw call.wrong('a list of numbers', number)
    total += number
  }
  return total
}

function asNumber(call: Call): number {
  const value = call.value(0)
  if (typeof value === 'number') return value
  if (typeof value === 'boolean') return value ? 1 : 0
  if (typeof value === 'string' && value.length < 400 && NUMERAL.test(value)) return Number(value)
  if (typeof value === 'string') throw new Fault(`${call.name} takes a number, and this text is none`)
  throw call.wrong('a number or a text with one', value)
}

function asBoolean(call: Call): Json {
  const value = call.value(0)
  if (typeof value !== 'string') return isTrue(value)
  const word = value.slice(0, 10).trim().toLowerCase()
  if (['true', '1', 't', 'yes'].includes(word)) return true
  if (['false', '0', 'f', 'no', ''].includes(word)) return false
  throw new Fault(`${call.name} takes true or false, and this text is neither`)
}
