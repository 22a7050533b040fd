import type { Json, JsonObject } from '../../../platform/json.js'
import type { WatchedEvent } from '../events/run-events.js'
import type { Run } from '../runs.queries.js'
import { toStatus } from './executions.dto.js'

/** What a connection is told first: how the execution stands. */
export function standingMessage(run: Run, now: Date): JsonObject {
  return { type: 'execution_update', execution_id: run.id, status: toStatus[run.state], timestamp: now.toISOString() }
}

/**
 * An event in FlowRunner's words; undefined where it has none: a failure shows in the log. A cancelled execution has no message type of its
 * own: its last update says so.
 */
export function eventMessage(runId: string, event: WatchedEvent): JsonObject | undefined {
  const at = { timestamp: event.at }
  if (event.type === 'ended') return { ...endMessage(runId, event), ...at }
  const node = compact({ node_id: event.node, node_type: event.nodeType })
  switch (event.type) {
    case 'node_started':
      return { type: 'execution_update', execution_id: runId, status: 'running', ...node, ...at }
    case 'node_completed':
      return { type: 'node_completed', execution_id: runId, ...node, result: event.result ?? null, ...at }
    case 'node_failed':
    case 'node_waiting':
      return undefined
    case 'log':
      return {
        type: 'log',
        execution_id: runId,
        level: event.level ?? 'info',
        message: event.message ?? '',
        ...node,
        ...compact({ data: event.data }),
        ...at,
      }
  }
}

function endMessage(runId: string, { state, result, error }: Extract<WatchedEvent, { type: 'ended' }>): JsonObject {
  const status = toStatus[state]
  switch (status) {
    case 'completed':
      return { type: 'execution_completed', execution_id: runId, status, result: result ?? null }
    case 'failed':
      return {
        type: 'execution_failed',
        execution_id: runId,
        status,
        error: error?.message ?? '',
        ...compact({ node_id: error?.node, node_type: error?.nodeType }),
      }
    default:
      return { type: 'execution_update', execution_id: runId, status }
  }
}

function compact(members: Record<string, Json | undefined>): JsonObject {
  return Object.fromEntries(Object.entries(members).filter((entry): entry is [string, Json] => entry[1] !== undefined))
}
