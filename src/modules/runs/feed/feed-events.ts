import type { FlowError } from '../../../engine/host.js'
import type { StoredEvent } from '../journal/records.js'
import type { RunState } from '../run-state.js'

/** Places that the events of one chunk have among all ids: more than a chunk ever holds. */
const PLACES = 256

/** What happened to a run as a whole, as it is read off its chunks. */
type Milestone =
  | { type: 'created'; at: string }
  | { type: 'started'; at: string }
  | { type: 'finished'; at: string; state: RunState; error?: Partial<FlowError> }

/** An event of one of an account's runs. Ids grow along the account's sequence, and an event has the same whenever it is read. */
export type FeedEvent = { id: number; runId: string; flowId: string } & (Milestone | StoredEvent)

/** A chunk with what has to be known of its run. */
export interface FeedChunk {
  position: number
  run_id: string
  first_seq: number
  entries: StoredEvent[]
  is_last: boolean | null
  flow_id: string
  state: RunState
  error: Partial<FlowError> | null
  created_at: Date
  finished_at: Date | null
  /** Whether a chunk of its own tells that the run was accepted. */
  accepted: boolean
  /** Whether the run has done anything before this chunk. */
  begun: boolean
  /** Whether the run was ended by others before this chunk. */
  over: boolean
}

/** The position of the chunk that an id is in. */
export function positionOf(id: number): number {
  return Math.floor(id / PLACES)
}

/** An id behind those of all events up to this position. */
export function idBehind(position: number): number {
  return position * PLACES + PLACES - 1
}

/**
 * The events of a chunk. That a run was accepted stands in a chunk of its own, or else comes with the first that tells anything of the
 * run; that it was started comes with its first events; that it has ended with the last. Behind the end nothing is told: what the steps
 * of a cancelled run still said is in its log alone. What comes first is told by positions alone, so each reading gives the same.
 */
export function eventsOf(chunk: FeedChunk): FeedEvent[] {
  const { position, entries, first_seq: seq } = chunk
  if (chunk.over) return []
  const told: (Milestone | StoredEvent | undefined)[] = [
    isFirst(chunk) ? { type: 'created', at: chunk.created_at.toISOString() } : undefined,
    seq === 1 ? { type: 'started', at: entries[0]?.at ?? chunk.created_at.toISOString() } : undefined,
    ...entries,
    chunk.is_last ? finished(chunk) : undefined,
  ]
  return told.flatMap((event, place) =>
    event ? [{ id: position * PLACES + place, runId: chunk.run_id, flowId: chunk.flow_id, ...event }] : [],
  )
}

function isFirst({ first_seq: seq, accepted, begun }: FeedChunk): boolean {
  if (seq === 0) return true
  return !accepted && (seq === 1 || (seq === -1 && !begun))
}

function finished({ state, error, finished_at, created_at }: FeedChunk): Milestone {
  const at = (finished_at ?? created_at).toISOString()
  return { type: 'finished', at, state, ...(error && { error }) }
}
