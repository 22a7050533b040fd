import type { Graph } from './graph.js'
import type { StepOutcome } from './host.js'
import { visitPath } from './path.js'
import { successor } from './routing.js'

/** How a visit was settled, as far as it decides the way. */
export type Settled = Pick<StepOutcome, 'state' | 'action'>

/** One visit to a node on a run's way. */
export interface Visit {
  path: string
  node: string
  nodeType: string
  /** How it was settled; absent for the last visit of a run that was ended in the middle of it. */
  outcome?: Settled
  /** False where the way ends. */
  leadsOn: boolean
}

/** The way that a run went, visit by visit: from its start along the edges that its outcomes followed, as the interpreter walks it. */
export function walkOf(graph: Graph, startNode: string | undefined, settled: ReadonlyMap<string, Settled>): Visit[] {
  const walk: Visit[] = []
  const visits = new Map<string, number>()
  for (let name: string | undefined = startNode ?? graph.start; name !== undefined; ) {
    const node = graph.nodes.get(name)
    if (!node) break
    const visit = (visits.get(name) ?? 0) + 1
    visits.set(name, visit)
    const path = visitPath(name, visit)
    const outcome = settled.get(path)
    const next: string | undefined = outcome && successor(node, outcome)
    walk.push({ path, node: name, nodeType: node.type, outcome, leadsOn: next !== undefined })
    name = next
  }
  return walk
}
