import type { JsonObject } from '../platform/json.js'
import type { RunSettings } from './run-settings.js'

/** What a flow definition compiles to, whatever language it was written in. Immutable, and shared by all runs of a revision. */
export interface Graph {
  readonly start: string
  readonly settings?: RunSettings
  readonly nodes: ReadonlyMap<string, GraphNode>
}

/** One step of a flow, as its author wrote it: parameters still hold their `${…}` expressions. */
export interface GraphNode {
  readonly name: string
  /** The name of a registered step type, such as `http.request`. */
  readonly type: string
  readonly params: Readonly<JsonObject>
  /** Action word to node name. An action without an edge ends the flow. */
  readonly next: Readonly<Record<string, string>>
  readonly batch?: Batch
  readonly retry?: Retry
  readonly hooks?: Hooks
  /** What its author asks for beyond the class of its type: never twice, at the price of never knowing. */
  readonly guarantee?: 'at_most_once'
  /** Nodes that run side by side in this one's place. It has no work of its own, and its `type` is `STAGE`. */
  readonly branches?: readonly GraphNode[]
  /** How many branches are at work at the same time; all of them where absent. */
  readonly maxParallel?: number
  /** Of a branch: the names of those beside it that have to be settled well before it begins. */
  readonly needs?: readonly string[]
  readonly loop?: Loop
  readonly condition?: Condition
  readonly approval?: Approval
  /**
   * What a failure that is left after all attempts means: `fail` (where absent) follows the edge `error` or fails the run; `continue` and
   * `skip` record it as a failure or as skipped, and go on as after a success without an output.
   */
  readonly onError?: 'fail' | 'continue' | 'skip'
  /** How long one attempt may take. */
  readonly timeoutMs?: number
  readonly label?: Label
}

/** What its author knows a node by, where that is more than its name. */
export interface Label {
  readonly id: string
  readonly title?: string
  /** The author's number of its place; nodes may share one. */
  readonly index: number
}

/** The type of a node that is nothing but its branches. */
export const STAGE = 'stage'

/** The node of this name, wherever in the graph it is. */
export function nodeNamed(graph: Graph, name: string): GraphNode | undefined {
  const own = graph.nodes.get(name)
  if (own) return own
  for (const node of nodesOf(graph)) if (node.name === name) return node
  return undefined
}

/** Every node that does work: those side by side and those in the bodies of loops, too. */
export function* nodesOf(graph: Graph): Generator<GraphNode> {
  for (const node of graph.nodes.values())
    for (const one of node.branches ?? [node]) {
      yield one
      if (one.loop) yield* nodesOf(one.loop.body)
    }
}

/**
 * Walks `body` once for each item of the list under the node's parameter `items`, or for each `batchSize` of them. In the body the node's
 * own output is `{item, index, total, isLast}`; behind the loop it is `{total, outputs}`, where `outputs` has, for each node that `collect`
 * names, the list of what it put out in each round (null where it was not reached).
 */
export interface Loop {
  readonly body: Graph
  readonly collect: readonly string[]
  /** Rounds at the same time. */
  readonly maxParallel: number
}

/** Decides whether the node is worked on. Where it does not hold, the node is settled as `filtered`, without an output. */
export interface Condition {
  /** With expressions, as parameters have them. */
  readonly params: Readonly<JsonObject>
  /** Of the parameters once they are evaluated. Throws `StepError` for what cannot be compared. */
  holds(values: JsonObject): boolean
}

/** The node's work waits until somebody approves it. */
export interface Approval {
  /** Ids of accounts and groups, and names of roles; none means whoever may approve by role. */
  readonly approvers: readonly string[]
  /** What a refusal comes to: a failure of the node, or a node that is skipped. */
  readonly onDecline: 'fail' | 'skip'
  /** How long to wait; then it is declined. */
  readonly timeoutMs?: number
}

/** Runs the node once per item. At most `maxParallel` items at a time; `serial` is one at a time, in order. */
export interface Batch {
  readonly strategy: 'serial' | 'async' | 'parallel' | 'worker_pool'
  readonly maxParallel: number
  /** False: the items' outputs are not kept; the batch answers how many there were. */
  readonly collect?: boolean
}

/** `maxAttempts` counts every attempt, the first included. */
export interface Retry {
  readonly maxAttempts: number
  readonly waitMs: number
  /** Each wait is so many times as long as the one before; 1 where absent. */
  readonly backoff?: number
  /** Each wait is drawn between these multiples of itself. */
  readonly jitter?: readonly [number, number]
}

/** JavaScript around a node's own work. `exec` replaces that work. */
export interface Hooks {
  readonly prep?: string
  readonly exec?: string
  readonly post?: string
}
