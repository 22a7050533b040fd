import type { Json } from '../../json.js'
import type { Budget } from './budget.js'
import { Call, Fault, type GoFunction } from './call.js'
import { collections } from './functions/collections.js'
import { dates } from './functions/dates.js'
import { logic } from './functions/logic.js'
import { numbers } from './functions/numbers.js'
import { texts } from './functions/texts.js'

/**
 * What expressions may call: Go's own functions and those that its users know from template libraries, with the arguments in the order
 * that pipes want: what is worked on comes last. All are pure; `now` is given from outside.
 */
export const functions: ReadonlyMap<string, GoFunction> = new Map(
  [logic, numbers, texts, collections, dates].flatMap((group) => Object.entries(group)),
)

export function callFunction(name: string, args: readonly Json[], budget: Budget, now: Date): Json {
  const called = functions.get(name)
  if (!called) throw new Fault(`there is no function '${name}'`)
  const { least, most, run } = called
  if (args.length < least || (most !== undefined && args.length > most))
    throw new Fault(`${name} takes ${countOf(least, most)}, not ${args.length}`)
  const value = run(new Call(name, args, budget, now))
  if (typeof value === 'number' && !Number.isFinite(value)) throw new Fault(`the result of ${name} is no number`)
  return value === 0 ? 0 : value
}

function countOf(least: number, most: number | undefined): string {
  const noun = (count: number) => (count === 1 ? 'argument' : 'arguments')
  if (most === least) return `${least} ${noun(least)}`
  if (most === undefined) return `at least ${least} ${noun(least)}`
  return `${least} to ${most} arguments`
}
