import type { StepClass, StepRegistry } from '../engine/step.js'
import type { JsonObject } from '../platform/json.js'
import { checkParams, type ParamFault } from '../steps/params.js'

/** What the language must know of the step types that its nodes may name. */
export interface StepTypes {
  has(type: string): boolean
  /** Top-level parameters that hold code: `${` or `{{` in them is the step's own matter, not an expression of the flow. */
  codeParams(type: string): readonly string[]
  /** What a crash may do to a step with these parameters, as far as they are literal. */
  classOf(type: string, params: JsonObject): StepClass
  /**
   * The faults of literal parameters, by pointers into the node. What holds an expression, which begins with the mark of its language
   * (`${` unless said), is checked when the step runs.
   */
  checkParams(type: string, params: JsonObject, mark?: string): readonly ParamFault[]
}

export function stepTypesOf(registry: StepRegistry): StepTypes {
  return {
    has: (type) => registry.get(type)?.isForJobsOnly === undefined && registry.get(type) !== undefined,
    codeParams: (type) => registry.get(type)?.codeParams ?? [],
    classOf(type, params) {
      const known = registry.get(type)
      return known?.classOf?.(params) ?? known?.stepClass ?? 'effect'
    },
    checkParams(type, params, mark) {
      const known = registry.get(type)
      return known ? checkParams(known, params, { expressions: 'skip', mark }) : []
    },
  }
}
