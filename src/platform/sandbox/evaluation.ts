import type { Json, JsonObject } from '../json.js'

/** A batch of user code that shares one scope and one sandbox context. */
export interface Evaluation {
  scripts: readonly Script[]
  /**
   * Variables by name. Only those that the code can reach are sent to the sandbox. `shared` and `secrets` are special: members of
   * `shared` are offered by their bare names too and stand in for members that `input` lacks; a member that `secrets` lacks is an error.
   */
  scope: Readonly<Record<string, Json>>
  /** Names whose values are read back after the last script, so that changes made in place are kept. */
  capture?: readonly string[]
}

export interface Script {
  code: string
  /** `expression`: one expression. `body`: a function body that may `return`; without any `return` its last expression is its value. */
  form: 'expression' | 'body'
}

export interface EvaluationResult {
  /** One per script, in order; undefined results are null. */
  values: Json[]
  captured: JsonObject
  console: ConsoleLine[]
}

export interface ConsoleLine {
  level: 'debug' | 'info' | 'warn' | 'error'
  message: string
}

/** `script_busy`: too many evaluations wait already; a retry may help. */
export type ScriptErrorCode = 'script_error' | 'script_timeout' | 'script_memory' | 'script_aborted' | 'script_busy'

/** User code failed: it threw, did not parse, ran too long or wanted too much memory. The message is meant for its author. */
export class ScriptError extends Error {
  constructor(
    message: string,
    readonly code: ScriptErrorCode = 'script_error',
    readonly console: ConsoleLine[] = [],
  ) {
    super(message)
    this.name = 'ScriptError'
  }
}
