import type { GraphNode } from './graph.js'
import type { StepOutcome } from './host.js'

const DEFAULT = 'default'
const ERROR = 'error'

/**
 * Where a flow goes after a node. A success follows its action's edge, else `default`, else the flow ends. A failure follows its
 * action's edge, else `error`, else the run fails: it never follows `default`.
 */
export function successor(node: GraphNode, outcome: Pick<StepOutcome, 'state' | 'action'>): string | undefined {
  const exact = edge(node, outcome.action)
  if (exact !== undefined) return exact
  return edge(node, outcome.state === 'succeeded' ? DEFAULT : ERROR)
}

function edge(node: GraphNode, action: string | undefined): string | undefined {
  return action !== undefined && Object.hasOwn(node.next, action) ? node.next[action] : undefined
}
