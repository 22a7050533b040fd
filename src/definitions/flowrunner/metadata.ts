import type { Cursor } from '../yaml/cursor.js'
import { type FaultList, quote } from '../yaml/faults.js'

/** What a definition says about itself. */
export interface Metadata {
  name: string
  description?: string
  /** As written: `1.0`, not the number 1. */
  version?: string
}

const keys = ['name', 'description', 'version']

export function readMetadata(cursor: Cursor, faults: FaultList, warnings: FaultList): Metadata | undefined {
  if (cursor.isUnusable) return undefined
  if (cursor.value && !cursor.isMapping) {
    cursor.complain(faults, 'type', 'metadata must be a mapping with the name of the flow')
    return undefined
  }
  for (const [name, member] of cursor.members) {
    if (!keys.includes(name))
      member.complain(warnings, 'unknown_key', `unknown key ${quote(name)} in metadata is ignored`, 'key')
  }
  const name = readText(cursor.member('name'), 'flow name', faults)
  if (!cursor.member('name').value || name?.trim() === '') {
    cursor.member('name').complain(faults, 'required', 'flow name is required')
  }
  const description = readText(cursor.member('description'), 'flow description', faults)
  const version = readText(cursor.member('version'), 'flow version', faults)
  return name === undefined ? undefined : { name, ...(description && { description }), ...(version && { version }) }
}

/** A number is taken as it is written. */
function readText(cursor: Cursor, noun: string, faults: FaultList): string | undefined {
  if (!cursor.value || cursor.isUnusable) return undefined
  if (cursor.string !== undefined) return cursor.string
  if (typeof cursor.scalar?.value === 'number') return cursor.scalar.source
  cursor.complain(faults, 'type', `${noun} must be a text`)
  return undefined
}
