import { EventEmitter } from 'node:events'
import { Injectable } from '@nestjs/common'
import { Sql, type Statement } from '../../platform/database/sql.js'
import type { Json, JsonObject } from '../../platform/json.js'
import type { StoredEvent } from './journal/records.js'
import { isFinal, type RunState } from './run-state.js'

/** An event of a run as watchers read it: gap-free by `seq`, a completed node with its result, and the run's end last. */
export type WatchedEvent =
  | (StoredEvent & { result?: Json })
  | { seq: number; type: 'ended'; at: string; state: RunState; result?: JsonObject; error?: JsonObject }

/** How long a watcher waits for a hint before it looks again; hints come at once for runs of this process. */
const LOOK_AGAIN_MS = 500
/** Chunks that are read at once; each holds up to 100 events. */
const CHUNKS = 20
/** Results that are read at once: each may be megabytes, and a slow watcher holds them. */
const RESULTS = 8

const STANDING: Statement = {
  name: 'run_standing',
  text: 'select state, finished_at, result, error from run where id = $1',
}

const EVENTS: Statement = {
  name: 'run_events',
  text: `select e.event
    from (select entries from run_event_chunk where run_id = $1 and last_seq > $2 order by first_seq limit ${CHUNKS}) as c
    cross join lateral json_array_elements(c.entries) as e (event)
    where (e.event ->> 'seq')::integer > $2
    order by (e.event ->> 'seq')::integer`,
}

const OUTPUTS: Statement = {
  name: 'run_event_outputs',
  text: `select path, attempt, output from step_outcome
    where run_id = $1 and (path, attempt) in (select * from unnest($2::text[], $3::integer[]))`,
}

/**
 * The event sequence of each run, read from the tables: what a watcher is told is durable, whoever runs the run. Publishers in this
 * process only wake the watchers.
 */
@Injectable()
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
          const events = await this.eventsAfter(runId, seq)
          for await (const event of this.withResults(runId, events)) {
            yield event
            seq = event.seq
          }
          // No chunk is empty, so there was none behind these.
          if (events.length < CHUNKS) break
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

  private async eventsAfter(runId: string, after: number): Promise<StoredEvent[]> {
    const rows = await this.sql.query<{ event: StoredEvent }>(EVENTS, [runId, after])
    return rows.map(({ event }) => event)
  }

  /** The events, each completed node with its output. */
  private async *withResults(
    runId: string,
    events: readonly StoredEvent[],
  ): AsyncGenerator<StoredEvent & { result?: Json }> {
    let outputs = new Map<string, Json>()
    for (const [index, event] of events.entries()) {
      if (event.type !== 'node_completed') {
        yield event
        continue
      }
      if (!outputs.has(placeOf(event))) outputs = await this.outputs(runId, events.slice(index))
      yield { ...event, result: outputs.get(placeOf(event)) ?? null }
    }
  }

  /** The outputs of the first few nodes that are completed among these. */
  private async outputs(runId: string, events: readonly StoredEvent[]): Promise<Map<string, Json>> {
    const completed = events.filter(({ type }) => type === 'node_completed').slice(0, RESULTS)
    const rows = await this.sql.query<{ path: string; attempt: number; output: Json }>(OUTPUTS, [
      runId,
      completed.map(({ path }) => path),
      completed.map(({ attempt }) => attempt),
    ])
    return new Map(rows.map((row) => [placeOf(row), row.output]))
  }
}

function placeOf({ path, attempt }: { path?: string; attempt?: number }): string {
  return `${attempt} ${path}`
}

function ending(run: { state: RunState; result: JsonObject | null; error: JsonObject | null }) {
  return { state: run.state, result: run.result ?? undefined, error: run.error ?? undefined }
}
