import type { Json } from '../../../json.js'
import { isSame } from '../budget.js'
import { type Call, Fault, type GoFunction } from '../call.js'
import { isTrue, kindOf } from '../values.js'

export const logic: Readonly<Record<string, GoFunction>> = {
  // Of these two the evaluation works out no more than decides; here are their names.
  and: { least: 1, run: (call) => call.value(0) },
  or: { least: 1, run: (call) => call.value(0) },
  not: { least: 1, most: 1, run: (call) => !isTrue(call.value(0)) },
  /** With several values: whether the first is one of the others. */
  eq: { least: 2, run: (call) => call.args.slice(1).some((other) => isSame(call.value(0), other, call.budget)) },
  ne: { least: 2, most: 2, run: (call) => !isSame(call.value(0), call.value(1), call.budget) },
  lt: { least: 2, most: 2, run: (call) => order(call) < 0 },
  le: { least: 2, most: 2, run: (call) => order(call) <= 0 },
  gt: { least: 2, most: 2, run: (call) => order(call) > 0 },
  ge: { least: 2, most: 2, run: (call) => order(call) >= 0 },

  default: { least: 2, most: 2, run: (call) => (isTrue(call.value(1)) ? call.value(1) : call.value(0)) },
  coalesce: { least: 1, run: (call) => call.args.find(isTrue) ?? null },
  /** The value if true, the one if false, and last what decides. */
  ternary: { least: 3, most: 3, run: (call) => (isTrue(call.value(2)) ? call.value(0) : call.value(1)) },
  empty: { least: 1, most: 1, run: (call) => !isTrue(call.value(0)) },
  kindOf: { least: 1, most: 1, run: (call) => kinds(call.value(0)) },
  fail: {
    least: 1,
    most: 1,
    run: (call) => {
      throw new Fault(call.text(0))
    },
  },
}

function order(call: Call): number {
  const [one, other] = [call.value(0), call.value(1)]
  if (typeof one === 'number' && typeof other === 'number') return one - other
  if (typeof one === 'string' && typeof other === 'string') {
    call.budget.read(one.length)
    return one < other ? -1 : one > other ? 1 : 0
  }
  throw new Fault(`${call.name} compares two numbers or two texts, not ${kindOf(one)} and ${kindOf(other)}`)
}

function kinds(value: Json): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'list' : typeof value === 'object' ? 'object' : typeof value
}
