import type { Graph, GraphNode } from './graph.js'
import type { StepOutcome } from './host.js'
import { visitPath } from './path.js'
import { passed, successor } from './routing.js'

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

/**
 * The way that a run went, visit by visit: from its start along the edges that its outcomes followed, as the interpreter walks it. Nodes side
 * by side are visits one after another, and lead on together.
 */
export function walkOf(graph: Graph, startNode: string | undefined, settled: ReadonlyMap<string, Settled>): Visit[] {
  const walk: Visit[] = []
  const visits = new Map<string, number>()
  const visitTo = (node: GraphNode) => {
    const visit = (visits.get(node.name) ?? 0) + 1
    visits.set(node.name, visit)
    const path = visitPath(node.name, visit)
    return { node, path, outcome: settled.get(path) }
  }
  for (let name: string | undefined = startNode ?? graph.start; name !== undefined; ) {
    const node = graph.nodes.get(name)
    if (!node) break
    const made = (node.branches ?? [node]).map(visitTo)
    const next: string | undefined = nextOf(node, made)
    for (const {
      node: { name, type },
      path,
      outcome,
    } of made)
      walk.push({ path, node: name, nodeType: type, outcome, leadsOn: next !== undefined })
    name = next
  }
  return walk
}

function nextOf(node: GraphNode, made: readonly { node: GraphNode; outcome?: Settled }[]): string | undefined {
  if (made.some(({ outcome }) => outcome === undefined)) return undefined
  const stopper = made.find(({ node, outcome }) => outcome && !passed(node, outcome))
  return successor(node, stopper?.outcome ?? made[0]?.outcome ?? { state: 'succeeded' })
}
