import type { JsonObject } from '../platform/json.js'

/** What a flow definition compiles to, whatever language it was written in. Immutable, and shared by all runs of a revision. */
export interface Graph {
  readonly start: string
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
}

/** Runs the node once per item. At most `maxParallel` items at a time; `serial` is one at a time, in order. */
export interface Batch {
  readonly strategy: 'serial' | 'async' | 'parallel' | 'worker_pool'
  readonly maxParallel: number
}

/** `maxAttempts` counts every attempt, the first included. */
export interface Retry {
  readonly maxAttempts: number
  readonly waitMs: number
}

/** JavaScript around a node's own work. `exec` replaces that work. */
export interface Hooks {
  readonly prep?: string
  readonly exec?: string
  readonly post?: string
}
