import type { Json, JsonObject } from '../platform/json.js'
import type { GraphNode } from './graph.js'
import type { FlowError, Script } from './host.js'
import type { RunIdentity } from './step.js'

/** What differs between the languages that flows are written in: variable names, expression syntax, the words of the log. */
export interface Language {
  /** The variables that user code sees at this moment. */
  variables(moment: Moment): Record<string, Json>
  /** Parses the expressions in a node's parameters. Called once per node and remembered. */
  template(params: Readonly<JsonObject>): Template
  /** How a failure looks to the node behind the `error` edge. */
  failure(error: FlowError): JsonObject
  /** What the flow that is started for a failed run is given; without it no such flow is started. */
  rescueInput?(failed: { run: RunIdentity; runInput: Json; error: FlowError }): JsonObject
  /** What a run that ended with this node results in; the node's output where absent, in an object if it is none. */
  result?(node: GraphNode, output: Json): JsonObject
  readonly words: { started: string; completed: string; failed: string }
}

/** Parameters with their expressions taken out. */
export interface Template {
  readonly scripts: readonly Script[]
  /** The value of script `index` where it can be told without a sandbox, such as a property path; undefined where it cannot. */
  local(index: number, variables: Readonly<Record<string, Json>>): { value: Json } | undefined
  /** Evaluates what `local` cannot, where the language does so itself: then nothing goes to the sandbox. Throws `StepError`. */
  resolve?(index: number, variables: Readonly<Record<string, Json>>, lookUps: LookUps): Promise<Json>
  /** The parameters with each expression replaced by its value. */
  render(values: readonly Json[]): JsonObject
}

/** What expressions may ask for beyond the moment. */
export interface LookUps {
  /** A key-value entry as the flow sees it, by the flow's rules of inheritance, or of the widest scope alone. */
  keyValue(key: string, scope: 'flow' | 'global'): Promise<Json | undefined>
}

/** How a node was settled. */
export type NodeState = 'succeeded' | 'failed' | 'skipped' | 'filtered'

/** All that a running flow has come to know, as one node sees it. */
export interface Moment {
  run: RunIdentity
  runInput: Json
  /** The previous node's output. */
  input: Json
  /** The last output of every node that ran, by name. */
  results: Readonly<Record<string, Json>>
  /** How every node that ran was settled last, by name. */
  states: Readonly<Record<string, NodeState>>
  /** When the moment is, by the host's clock. */
  now: Date
  /** The run's input and whatever steps chose to share. */
  shared: Readonly<JsonObject>
  /** The last output of any node. */
  result: Json
  error?: FlowError
  secrets: Readonly<Record<string, string>>
  item?: { value: Json; index: number }
}
