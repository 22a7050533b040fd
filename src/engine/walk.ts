import type { Graph, GraphNode } from './graph.js'
import type { StepOutcome } from './host.js'
import { visitPath } from './path.js'
import { blockedBranches, inOrderOfNeeds, passed, successor } from './routing.js'

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
  /** True of one that was skipped since what it needs was not settled well: what holds of that decides of this one too. */
  blocked?: true
}

/**
 * The way that a run went, visit by visit: from its start along the edges that its outcomes followed, as the interpreter walks it. Nodes side
 * by side are visits one after another, each behind what it needs, and lead on together.
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
    const made = (node.branches ? inOrderOfNeeds(node.branches) : [node]).map(visitTo)
    const next: string | undefined = nextOf(node, made)
    const blocked = new Set(blockedOf(made))
    for (const { node: visited, path, outcome } of made) {
      const { name, type } = visited
      const visit = { path, node: name, nodeType: type, outcome, leadsOn: next !== undefined }
      walk.push(blocked.has(visited) ? { ...visit, blocked: true } : visit)
    }
    name = next
  }
  return walk
}

interface Made {
  node: GraphNode
  outcome?: Settled
}

function blockedOf(made: readonly Made[]): GraphNode[] {
  const settled = new Map(made.flatMap(({ node, outcome }) => (outcome ? [[node.name, outcome] as const] : [])))
  return blockedBranches(
    made.map(({ node }) => node),
    settled,
  )
}

/** Where its branches lead on to, if they do: of failures the first by their declaration counts. */
function nextOf(node: GraphNode, made: readonly Made[]): string | undefined {
  if (made.some(({ outcome }) => outcome === undefined)) return undefined
  const stoppers = made.filter(({ node, outcome }) => outcome && !passed(node, outcome))
  const [first] = (node.branches ?? [node]).flatMap((branch) => stoppers.filter((one) => one.node === branch))
  return successor(node, (first ?? made[0])?.outcome ?? { state: 'succeeded' })
}
