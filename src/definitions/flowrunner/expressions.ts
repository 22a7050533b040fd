import { ExpressionSyntaxError, findExpressions } from '../../platform/expressions/scan.js'
import type { Cursor } from '../yaml/cursor.js'
import { type FaultList, quote } from '../yaml/faults.js'

/** Complains about texts with a `${` that is never closed: in values and keys, at any depth, except in parameters that hold code. */
export function checkExpressions(params: Cursor, codeParams: ReadonlySet<string>, faults: FaultList): void {
  for (const [name, member] of params.members) {
    checkKey(name, member, faults)
    if (!codeParams.has(name)) checkValue(member, faults)
  }
}

function checkValue(cursor: Cursor, faults: FaultList): void {
  if (cursor.string !== undefined && !isClosed(cursor.string)) {
    cursor.complain(faults, 'expression', "a '${' without its closing '}'")
  }
  for (const item of cursor.items) checkValue(item, faults)
  for (const [name, member] of cursor.members) {
    checkKey(name, member, faults)
    checkValue(member, faults)
  }
}

function checkKey(name: string, member: Cursor, faults: FaultList): void {
  if (!isClosed(name))
    member.complain(faults, 'expression', `a '\${' without its closing '}' in the key ${quote(name)}`, 'key')
}

function isClosed(text: string): boolean {
  try {
    findExpressions(text)
    return true
  } catch (error) {
    if (error instanceof ExpressionSyntaxError) return false
    throw error
  }
}
