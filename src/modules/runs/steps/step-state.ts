import type { GraphNode } from '../../../engine/graph.js'
import type { NodeState } from '../../../engine/language.js'
import { stateOf } from '../../../engine/routing.js'
import { isFinal, type RunState } from '../run-state.js'

/**
 * How a visit to a node of a run stands. `ahead`: the run has not come to it. `waiting`: it waits for a word, a signal or another run;
 * `deferred`: for a time alone. The others but `running` are final.
 */
export type StepState = NodeState | 'ahead' | 'running' | 'waiting' | 'deferred'

/** What a visit, or a run, waits for: a time that comes by itself, or something that somebody or another run has to do. */
export type WaitsFor = 'time' | 'answer'

/** The last outcome under a visit's path. */
export interface SettledStep {
  state: 'succeeded' | 'failed' | 'retrying'
  action?: string
}

/** Of a visit that has begun. What an ended run left without an outcome ended with it. */
export function stepState(
  runState: RunState,
  outcome: SettledStep | undefined,
  waitsFor: WaitsFor | undefined,
  node: GraphNode | undefined,
): StepState {
  if (outcome && outcome.state !== 'retrying')
    return node ? stateOf(node, { state: outcome.state, action: outcome.action }) : outcome.state
  if (isFinal(runState)) return runState === 'failed' ? 'failed' : 'skipped'
  if (waitsFor === undefined) return 'running'
  return waitsFor === 'time' ? 'deferred' : 'waiting'
}
