import type { StepRegistry } from '../../engine/step.js'
import type { JsonObject } from '../../platform/json.js'
import { checkParams, type ParamFault } from '../../steps/params.js'

/** What the language must know of the step types that its nodes may name. */
export interface StepTypes {
  has(type: string): boolean
  /** Top-level parameters that hold code: `${` in them is JavaScript, not an expression of the flow. */
  codeParams(type: string): readonly string[]
  /** The faults of literal parameters, by pointers into the node. What holds an expression is checked when the step runs. */
  checkParams(type: string, params: JsonObject): readonly ParamFault[]
}

export function stepTypesOf(registry: StepRegistry): StepTypes {
  return {
    has: (type) => registry.get(type) !== undefined,
    codeParams: (type) => registry.get(type)?.codeParams ?? [],
    checkParams(type, params) {
      const known = registry.get(type)
      return known ? checkParams(known, params, { expressions: 'skip' }) : []
    },
  }
}
