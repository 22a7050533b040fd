import { LineCounter } from 'yaml'
import { Cursor } from './cursor.js'
import { type DefinitionFault, FaultList } from './faults.js'
import type { Limits } from './limits.js'
import { Walk } from './walk.js'
import { parseYaml, UnreadableYaml } from './yaml-text.js'

export type YamlReading<T> = { ok: true; value: T } | { ok: false; faults: DefinitionFault[] }

/**
 * One YAML document, read by `read` into a value of its own; or all faults at once, in the order of the text. Safe for hostile text: time
 * and memory are bounded by the limits.
 */
export function readYaml<T>(
  text: string,
  limits: Limits,
  read: (root: Cursor, faults: FaultList) => T | undefined,
): YamlReading<T> {
  const faults = new FaultList(limits.faults)
  const lines = new LineCounter()
  const value = guarded(text, limits, { faults, lines }, read)
  if (value !== undefined && faults.isEmpty) return { ok: true, value }
  return {
    ok: false,
    faults: faults.inOrder((offset) => {
      const { line, col } = lines.linePos(offset)
      return { line, column: col }
    }),
  }
}

function guarded<T>(
  text: string,
  limits: Limits,
  { faults, lines }: { faults: FaultList; lines: LineCounter },
  read: (root: Cursor, faults: FaultList) => T | undefined,
): T | undefined {
  try {
    const root = Cursor.root(new Walk(limits, faults, new FaultList(0)).root(parseYaml(text, lines, limits)))
    return root.isUnusable ? undefined : read(root, faults)
  } catch (error) {
    if (!(error instanceof UnreadableYaml)) throw error
    for (const fault of error.faults) faults.add(fault)
    return undefined
  }
}
