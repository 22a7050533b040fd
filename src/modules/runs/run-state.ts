/**
 * The life of a run. `queued`: accepted, no process has it. `running`: a process has it. `waiting`: parked on a timer or a signal,
 * no process has it. The other three are final and never left.
 *
 *     queued -> running <-> waiting        running -> completed | failed        queued | running | waiting -> cancelled
 */
export type RunState = 'queued' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled'

export const LIVE_STATES = ['queued', 'running', 'waiting'] as const satisfies readonly RunState[]
export const FINAL_STATES = ['completed', 'failed', 'cancelled'] as const satisfies readonly RunState[]
export const ALL_STATES: readonly RunState[] = [...LIVE_STATES, ...FINAL_STATES]

export type FinalState = (typeof FINAL_STATES)[number]

export function isFinal(state: RunState): state is FinalState {
  return (FINAL_STATES as readonly string[]).includes(state)
}
