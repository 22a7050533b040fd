import type { Json } from '../platform/json.js'
import type { GraphNode } from './graph.js'
import { type FlowError, type Host, type OpenedStep, ScriptError, type StepOutcome } from './host.js'
import { messageOf, plainJson, plainText, shortened } from './plain.js'
import { StepError, type StepResult } from './step.js'

/** One attempt at one path, from its beginning. */
export interface Begun extends OpenedStep {
  node: GraphNode
}

export function succeeded(begun: Begun, result: StepResult, finishedAt: Date): StepOutcome {
  return {
    ...head(begun),
    state: 'succeeded',
    action: result.action,
    output: result.output,
    shared: result.shared,
    finishedAt,
  }
}

export function failed(begun: Begun, error: FlowError, action: string | undefined, finishedAt: Date): StepOutcome {
  return { ...head(begun), state: 'failed', action, error, finishedAt }
}

/** Of an attempt that was started, must not be repeated, and left no outcome. */
export function unknown(begun: Begun, now: Date): StepOutcome {
  const { node } = begun
  const message = 'the step was interrupted after it had started; whether it took effect is not known'
  return failed(begun, { message, code: 'unknown_outcome', node: node.name, nodeType: node.type }, 'unknown', now)
}

/** A failure for the flow's author, masked. */
export function flowError(node: GraphNode, thrown: unknown, host: Host): FlowError {
  const ours = thrown instanceof StepError || thrown instanceof ScriptError
  return {
    message: shortened(host.mask(plainText(messageOf(thrown)))),
    code: ours ? host.mask(thrown.code) : 'step_failed',
    node: node.name,
    nodeType: node.type,
    output: thrown instanceof StepError ? errorOutput(thrown, host) : undefined,
  }
}

/** Why a path failed. The engine records no failure without its words; general ones stand in for them all the same. */
export function errorOf(outcome: StepOutcome): FlowError {
  return outcome.error ?? { message: 'the step failed', code: 'step_failed' }
}

/** The edge that a failure prefers. */
export function actionOf(thrown: unknown, host: Host): string | undefined {
  return thrown instanceof StepError && thrown.action !== undefined ? host.mask(plainText(thrown.action)) : undefined
}

function errorOutput(error: StepError, host: Host): Json | undefined {
  if (error.output === undefined) return undefined
  try {
    return host.mask(plainJson(error.output))
  } catch {
    // It failed already; that its output cannot be kept is no second failure.
    return undefined
  }
}

function head(begun: Begun): Pick<StepOutcome, 'path' | 'attempt' | 'node' | 'nodeType' | 'startedAt'> {
  const { node, path, attempt, startedAt } = begun
  return { path, attempt, node: node.name, nodeType: node.type, startedAt }
}
