import { afterAll, beforeAll } from 'vitest'
import type { Json } from '../json.js'
import type { Evaluation, EvaluationResult, ScriptError } from './evaluation.js'
import { type EvaluateOptions, Sandbox, type SandboxOptions } from './sandbox.js'

type Scope = Readonly<Record<string, Json>>

/** A real sandbox for the tests of one file, closed with them. */
export function openSandbox(options: Partial<SandboxOptions> = {}) {
  let sandbox!: Sandbox
  beforeAll(() => {
    sandbox = new Sandbox({ workers: 1, timeoutMs: 5_000, memoryMb: 64, ...options })
  })
  afterAll(() => sandbox.close())
  const evaluate = (evaluation: Evaluation, options: Partial<EvaluateOptions> = {}) =>
    sandbox.evaluate(evaluation, { tenant: 'ada', ...options })
  const run = (code: string, form: 'expression' | 'body', scope: Scope): Promise<EvaluationResult> =>
    evaluate({ scripts: [{ code, form }], scope })
  return {
    evaluate,
    run,
    expression: async (code: string, scope: Scope = {}) => (await run(code, 'expression', scope)).values[0],
    body: async (code: string, scope: Scope = {}) => (await run(code, 'body', scope)).values[0],
    failure: async (code: string, scope: Scope = {}): Promise<ScriptError> => {
      const result = await run(code, 'body', scope).catch((error: unknown) => error)
      if (!(result instanceof Error)) throw new Error(`the code did not fail but gave ${JSON.stringify(result)}`)
      return result as ScriptError
    },
  }
}
