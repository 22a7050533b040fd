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
}

/** JavaScript around a node's own work. `exec` replaces that work. */
export interface Hooks {
  readonly prep?: string
  readonly exec?: string
  readonly post?: string
}
