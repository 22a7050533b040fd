import type { JsonObject } from '../platform/json.js'
import type { GraphNode } from './graph.js'
import type { StepClass, StepType } from './step.js'

/** The class of one call: of the sandbox where a hook stands in for the work, else as the node's author or the step type says. */
export function stepClassOf(node: GraphNode, type: StepType, params: Readonly<JsonObject>): StepClass {
  if (node.hooks?.exec !== undefined) return 'pure'
  return node.guarantee ?? type.classOf?.(params) ?? type.stepClass
}
