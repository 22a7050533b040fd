import type { JsonObject } from '../../platform/json.js'

/** What the language must know of the step types that its nodes may name. */
export interface StepTypes {
  has(type: string): boolean
  /** Top-level parameters that hold code: `${` in them is JavaScript, not an expression of the flow. */
  codeParams(type: string): readonly string[]
  /** The faults of literal parameters. What holds an expression is checked when the step runs. */
  checkParams(type: string, params: JsonObject): readonly ParamFault[]
}

export interface ParamFault {
  /** JSON pointer into the parameters. */
  path: string
  detail: string
  code: string
}
