import type { GraphNode } from '../../engine/graph.js'
import type { Cursor } from '../yaml/cursor.js'
import { type FaultList, quote, quoteAll } from '../yaml/faults.js'

type Nodes = ReadonlyMap<string, GraphNode>

/**
 * The node where a flow starts: the one named `start`, else the one that no edge leads to. Beside a named start, other nodes without a
 * way in are allowed, since a schedule may start at any node; a circle that nothing leads into is a fault.
 */
export function findStart(nodes: Nodes, cursor: Cursor, faults: FaultList, warnings: FaultList): string | undefined {
  const targets = new Set<string>()
  for (const { next } of nodes.values()) for (const target of Object.values(next)) targets.add(target)
  const entries = [...nodes.keys()].filter((name) => !targets.has(name))

  const start = nodes.has('start') ? 'start' : entries[0]
  if (start === undefined) {
    cursor.complain(faults, 'no_start', 'no start node found', 'key')
    return undefined
  }
  if (start !== 'start' && entries.length > 1) {
    cursor.complain(faults, 'multiple_starts', `multiple start nodes found: ${quoteAll(entries)}`, 'key')
  }

  const reached = reach(nodes, [start])
  const reachedFromEntries = reach(nodes, [start, ...entries])
  for (const name of nodes.keys()) {
    if (reached.has(name)) continue
    const list = reachedFromEntries.has(name) ? warnings : faults
    if (list === warnings && start !== 'start') continue
    cursor
      .member(name)
      .complain(list, 'unreachable', `node ${quote(name)} cannot be reached from ${quote(start)}`, 'key')
  }
  return start
}

function reach(nodes: Nodes, from: readonly string[]): Set<string> {
  const reached = new Set(from)
  // A set is walked in the order of insertion, including what is added on the way.
  for (const name of reached) for (const target of Object.values(nodes.get(name)?.next ?? {})) reached.add(target)
  return reached
}
