import type { Json, JsonObject } from '../platform/json.js'
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
  readonly words: { started: string; completed: string; failed: string }
}

/** Parameters with their expressions taken out. */
export interface Template {
  readonly scripts: readonly Script[]
  /** The value of script `index` where it can be told without a sandbox, such as a property path; undefined where it cannot. */
  local(index: number, variables: Readonly<Record<string, Json>>): { value: Json } | undefined
  /** The parameters with each expression replaced by its value. */
  render(values: readonly Json[]): JsonObject
}

/** All that a running flow has come to know, as one node sees it. */
export interface Moment {
  run: RunIdentity
  runInput: Json
  /** The previous node's output. */
  input: Json
  /** The last output of every node that ran, by name. */
  results: Readonly<Record<string, Json>>
  /** The run's input and whatever steps chose to share. */
  shared: Readonly<JsonObject>
  /** The last output of any node. */
  result: Json
  error?: FlowError
  secrets: Readonly<Record<string, string>>
  item?: { value: Json; index: number }
}
