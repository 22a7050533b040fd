import type { Cursor } from './cursor.js'
import { type FaultList, quote } from './faults.js'

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

/** True where every `${` of a text finds its `}`, braces in JavaScript strings, templates and objects aside. */
function isClosed(text: string): boolean {
  // What is open, innermost last: `{` code, '`' a template's text.
  const open: string[] = []
  let index = text.indexOf('${')
  while (index >= 0 && index < text.length) {
    const character = text[index]
    const inTemplate = open.at(-1) === '`'
    if (character === '\\' && open.length > 0) index++
    else if (character === '`' && inTemplate) open.pop()
    else if (text.startsWith('${', index) && (inTemplate || open.length === 0)) {
      open.push('{')
      index++
    } else if (!inTemplate) {
      if (character === '{' || character === '`') open.push(character)
      else if (character === '}') open.pop()
      else if (character === '"' || character === "'") {
        index = endOfString(text, index)
        if (index < 0) return false
      }
    }
    index++
    if (open.length === 0) index = text.indexOf('${', index)
  }
  return open.length === 0
}

function endOfString(text: string, start: number): number {
  for (let index = start + 1; index < text.length; index++) {
    if (text[index] === '\\') index++
    else if (text[index] === text[start]) return index
  }
  return -1
}
