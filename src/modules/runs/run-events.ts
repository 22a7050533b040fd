import { EventEmitter } from 'node:events'
import type { Sql, Statement } from '../../platform/database/sql.js'
import type { Json, JsonObject } from '../../platform/json.js'
import type { StoredEvent } from './journal/records.js'
import { isFinal, type RunState } from './run-state.js'

/** An event of a run as watchers read it: gap-free by `seq`, a completed node with its result, and the run's end last. */
export type WatchedEvent =
  | (StoredEvent & { result?: Json })
  | { seq: number; type: 'ended'; at: string; state: RunState; result?: JsonObject; error?: JsonObject }

/** Where a run stands, told to a watcher before any event. */
export interface RunStanding {
  id: string
  state: RunState
  createdAt: Date
}

/** How long a watcher waits for a hint before it looks again; hints come at once for runs of this process. */
const LOOK_AGAIN_MS = 500
const PAGE = 200

const STANDING: Statement = {
  name: 'run_standing',
  text: 'select state, finished_at, result, error from run where id = $1',
}

const EVENTS: Statement = {
  name: 'run_events',
  text: `select e.event, o.output as result
    from run_event_chunk c
    cross join lateral json_array_elements(c.entries) as e (event)
    left join step_outcome o on e.event ->> 'type' = 'node_completed' and o.run_id = c.run_id
      and o.path = e.event ->> 'path' and o.attempt = (e.event ->> 'attempt')::integer
    where c.run_id = $1 and c.last_seq > $2 and (e.event ->> 'seq')::integer > $2
    order by c.first_seq, (e.event ->> 'seq')::integer
    limit ${PAGE}`,
}

/**
 * The event sequence of each run, read from the tables: what a watcher is told is durable, whoever runs the run. Publishers in this
 * process only wake the watchers.
 */
export class RunEvents {
  private readonly wakes = new EventEmitter().setMaxListeners(0)

  /** Called when somebody begins to follow a run, so that what is not written yet is. */
  onFollow: (runId: string) => Promise<void> = async () => {}

  constructor(private readonly sql: Sql) {}

  /** Something of this run has become durable. */
  published(runId: string): void {
    this.wakes.emit(runId)
  }

  /** True while somebody in this process watches the run, so that its events are worth an early flush. */
  watched(runId: string): boolean {
    return this.wakes.listenerCount(runId) > 0
  }

  /** Every event after `after`, in order, ending after the run's end or when `signal` aborts. */
  async *follow(runId: string, after: number, signal: AbortSignal): AsyncGenerator<WatchedEvent> {
    let seq = after
    let woken = false
    let wake = () => {}
    const onWake = () => {
      woken = true
      wake()
    }
    this.wakes.on(runId, onWake)
    signal.addEventListener('abort', onWake, { once: true })
    try {
      await this.onFollow(runId)
      while (!signal.aborted) {
        woken = false
        // The state is read before the events: once it is final, the events read after it are all there are.
        const run = await this.standing(runId)
        if (!run) return
        for (;;) {
          const page = await this.page(runId, seq)
          for (const event of page) {
            yield event
            seq = event.seq
          }
          if (page.length < PAGE) break
        }
        if (isFinal(run.state)) {
          yield { seq: seq + 1, type: 'ended', at: run.finishedAt, ...ending(run) }
          return
        }
        if (!woken && !signal.aborted)
          await new Promise<void>((resolve) => {
            const again = setTimeout(resolve, LOOK_AGAIN_MS)
            wake = () => {
              clearTimeout(again)
              resolve()
            }
          })
      }
    } finally {
      this.wakes.off(runId, onWake)
      signal.removeEventListener('abort', onWake)
    }
  }

  private async standing(runId: string) {
    const [row] = await this.sql.query<{
      state: RunState
      finished_at: Date | null
      result: JsonObject | null
      error: JsonObject | null
    }>(STANDING, [runId])
    return row && { ...row, finishedAt: (row.finished_at ?? new Date(0)).toISOString() }
  }

  private async page(runId: string, after: number): Promise<(StoredEvent & { result?: Json })[]> {
    const rows = await this.sql.query<{ event: StoredEvent; result: Json }>(EVENTS, [runId, after])
    return rows.map(({ event, result }) => (event.type === 'node_completed' ? { ...event, result } : event))
  }
}

function ending(run: { state: RunState; result: JsonObject | null; error: JsonObject | null }) {
  return { state: run.state, result: run.result ?? undefined, error: run.error ?? undefined }
}
