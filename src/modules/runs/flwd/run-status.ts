import type { RunState } from '../run-state.js'

export const RUN_STATUSES = ['pending', 'running', 'success', 'failed', 'cancelled'] as const

export type RunStatus = (typeof RUN_STATUSES)[number]

export const toStatus: Record<RunState, RunStatus> = {
  queued: 'pending',
  running: 'running',
  waiting: 'running',
  completed: 'success',
  failed: 'failed',
  cancelled: 'cancelled',
}

/** What a status stands for. */
export function statesOf(status: RunStatus | undefined): RunState[] | undefined {
  return status && (Object.keys(toStatus) as RunState[]).filter((state) => toStatus[state] === status)
}
