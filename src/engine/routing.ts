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
  return action === SKIPPED && (node.onError === 'skip' || node.approval?.onDecline === 'skip')
    ? 'skipped'
    : 'succeeded'
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
