import type { GraphNode } from './graph.js'
import type { StepOutcome } from './host.js'
import type { NodeState } from './language.js'

const DEFAULT = 'default'
const ERROR = 'error'
/** The actions of outcomes of nodes that were not worked on, and of those whose failure counts for nothing. */
export const FILTERED = 'filtered'
export const SKIPPED = 'skipped'

/** Whether the way goes on after this outcome as it does after a success. */
export function passed(node: GraphNode, { state }: Pick<StepOutcome, 'state'>): boolean {
  return state === 'succeeded' || (state === 'failed' && node.onError === 'continue')
}

/** How a node was settled, in the words of those who ask for it. */
export function stateOf(node: GraphNode, { state, action }: Pick<StepOutcome, 'state' | 'action'>): NodeState {
  if (state !== 'succeeded') return 'failed'
  if (action === FILTERED && node.condition) return 'filtered'
  const maySkip = node.onError === 'skip' || node.approval?.onDecline === 'skip' || node.needs !== undefined
  return action === SKIPPED && maySkip ? 'skipped' : 'succeeded'
}

/** Of nodes side by side those that never begin, since what they need, or what that needs, was not settled well. */
export function blockedBranches(
  branches: readonly GraphNode[],
  settled: ReadonlyMap<string, Pick<StepOutcome, 'state'>>,
): GraphNode[] {
  const hindering = new Set<string>()
  for (const branch of branches) {
    const outcome = settled.get(branch.name)
    if (outcome && !passed(branch, outcome)) hindering.add(branch.name)
  }
  if (hindering.size === 0) return []
  const isBlocked = ({ name, needs = [] }: GraphNode) =>
    !hindering.has(name) && needs.some((need) => hindering.has(need))
  const blocked: GraphNode[] = []
  for (let more = branches.filter(isBlocked); more.length > 0; more = branches.filter(isBlocked)) {
    blocked.push(...more)
    for (const { name } of more) hindering.add(name)
  }
  return blocked
}

/** The names of all that a node needs, and of what those need. */
export function ancestorsOf(branch: GraphNode, branches: readonly GraphNode[]): ReadonlySet<string> {
  const named = new Map(branches.map((one) => [one.name, one]))
  const ancestors = new Set<string>()
  const pending = [...(branch.needs ?? [])]
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (ancestors.has(name)) continue
    ancestors.add(name)
    pending.push(...(named.get(name)?.needs ?? []))
  }
  return ancestors
}

/**
 * Where a flow goes after a node. A success follows its action's edge, else `default`, else the flow ends. A failure follows its
 * action's edge, else `error`, else the run fails: it never follows `default`.
 */
export function successor(node: GraphNode, outcome: Pick<StepOutcome, 'state' | 'action'>): string | undefined {
  const exact = edge(node, outcome.action)
  if (exact !== undefined) return exact
  return edge(node, passed(node, outcome) ? DEFAULT : ERROR)
}

function edge(node: GraphNode, action: string | undefined): string | undefined {
  return action !== undefined && Object.hasOwn(node.next, action) ? node.next[action] : undefined
}

/** Nodes side by side as they were declared, but each behind those that it needs. */
export function inOrderOfNeeds(branches: readonly GraphNode[]): GraphNode[] {
  const ordered: GraphNode[] = []
  const placed = new Set<string>()
  let left = branches
  while (left.length > 0) {
    const ready = left.find(({ needs = [] }) => needs.every((name) => placed.has(name))) ?? (left[0] as GraphNode)
    ordered.push(ready)
    placed.add(ready.name)
    left = left.filter((branch) => branch !== ready)
  }
  return ordered
}
