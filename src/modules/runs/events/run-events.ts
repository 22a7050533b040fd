import { Injectable, Optional } from '@nestjs/common'
import { BatchedReads } from '../../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../../platform/database/sql.js'
import { Hints } from '../../../platform/hints/hints.js'
import type { Json, JsonObject } from '../../../platform/json.js'
import type { StoredEvent } from '../journal/records.js'
import { RUN_HINT } from '../run-hints.js'
import { type FinalState, isFinal, type RunState } from '../run-state.js'
import { fullValue, RunValues } from '../values/run-values.js'
import { WatchedAccounts } from './watched-accounts.js'
import { type Standing, WatchedRuns } from './watched-runs.js'

/** An event of a run as watchers read it: gap-free by `seq`, a completed node with its result, and the run's end last. */
export type WatchedEvent =
  | (StoredEvent & { result?: Json })
  | { seq: number; type: 'ended'; at: string; state: RunState; result?: JsonObject; error?: JsonObject }

/** The same without what was put out. */
export type BriefEvent = StoredEvent | Omit<Extract<WatchedEvent, { type: 'ended' }>, 'result'>

/** How a run has ended. */
export interface RunEnd {
  state: FinalState
  result?: JsonObject
  error?: JsonObject
}

/** Behind the last event of any run: a look from here brings none. */
const BEYOND = 2_000_000_000
/** What one look brings of a run: chunks of up to 100 events each, and about this many characters of them. */
const CHUNKS = 20
const CHUNK_CHARS = 1024 * 1024
/** Looks that share a statement. */
const LOOKS = 20
/** Results that are read at once: each may be megabytes, and a slow watcher holds them. */
const RESULTS = 8

interface Look {
  /** `after`, a space, and the run's id. */
  key: string
  tenant_id: string
  state: RunState
  finished_at: Date | null
  result: JsonObject | null
  result_ref: string | null
  error: JsonObject | null
  chunks: StoredEvent[][] | null
  /** There are more chunks behind these. */
  more: boolean
}

interface EventPage {
  look: Look
  events: StoredEvent[]
  /** Of these events, or of those before. */
  lastSeq: number
  isLast: boolean
}

/** How a run stands and its next events, of one moment: once the state is final, there are no events but these and those behind them. */
const LOOK: Statement = {
  name: 'run_look',
  text: `select asked.key, r.tenant_id, r.state, r.finished_at, r.result, r.result_ref, r.error, c.chunks, c.more
    from unnest($1::text[]) as asked (key)
    cross join lateral (
      select substr(asked.key, strpos(asked.key, ' ') + 1) as id, split_part(asked.key, ' ', 1)::integer as after) as a
    join run r on r.id = a.id
    cross join lateral (
      select json_agg(entries order by first_seq) filter (where before < ${CHUNK_CHARS}) as chunks,
        count(*) filter (where before < ${CHUNK_CHARS}) < count(*) or count(*) = ${CHUNKS} as more
      from (
        select first_seq, entries,
          sum(length(entries::text)) over (order by first_seq) - length(entries::text) as before
        from (
          select first_seq, entries from run_event_chunk
          where run_id = r.id and last_seq > a.after and first_seq >= coalesce((
            select max(first_seq) from run_event_chunk where run_id = r.id and first_seq <= a.after + 1), 0)
          order by first_seq limit ${CHUNKS}) as page) as measured) as c`,
}

const STANDINGS: Statement = {
  name: 'run_standings',
  text: `select id, epoch, state, case when state = 'running' then (
      select max(last_seq) from run_event_chunk where run_id = run.id) end as "lastSeq"
    from run where id = any ($1)`,
}

interface Output {
  /** JSON of the run's id, the path and the attempt. */
  key: string
  output: Json
  output_ref: string | null
}

const OUTPUTS: Statement = {
  name: 'run_event_outputs',
  text: `select asked.key, o.output, o.output_ref from unnest($1::text[]) as asked (key)
    join step_outcome o on o.run_id = asked.key::json ->> 0 and o.path = asked.key::json ->> 1
      and o.attempt = (asked.key::json ->> 2)::integer`,
}

/**
 * The event sequence of each run, read from the tables: what a watcher is told is durable, whoever runs the run. Whoever makes events,
 * here or in another process, only wakes the watchers. A watcher holds one page of events, however slow it is; those who ask for the same
 * page at the same time share its reading.
 */
@Injectable()
export class RunEvents {
  private readonly watchedRuns: WatchedRuns
  /** Those that somebody watches as a whole. */
  readonly accounts: WatchedAccounts
  private readonly looks: BatchedReads<Look>
  private readonly outputs: BatchedReads<Output>

  /** Called when somebody begins to follow a run, here or elsewhere, so that what is not written yet is. */
  onFollow: (runId: string) => Promise<void> = async () => {}

  constructor(
    sql: Sql,
    hints: Hints,
    @Optional() private readonly values?: RunValues,
  ) {
    this.looks = new BatchedReads(sql, LOOK, LOOKS)
    this.outputs = new BatchedReads(sql, OUTPUTS, RESULTS)
    this.accounts = new WatchedAccounts(hints)
    this.watchedRuns = new WatchedRuns(hints, (ids) => sql.query<Standing & object>(STANDINGS, [ids]))
    hints.on(RUN_HINT.watched, (runId) => void this.onFollow(runId))
  }

  /** Something of this run has become durable. */
  published(runId: string, accountId?: string): void {
    this.watchedRuns.changed(runId)
    if (accountId !== undefined) this.accounts.changed(accountId)
  }

  /** True while somebody watches the run, or all of the account, here or elsewhere, so that its events are worth an early flush. */
  watched(runId: string, accountId?: string): boolean {
    return this.watchedRuns.isWatched(runId) || (accountId !== undefined && this.accounts.isWatched(accountId))
  }

  /** Has whoever runs it write what is not written yet, soon. */
  ask(runId: string): void {
    this.watchedRuns.watch(runId).leave()
  }

  /** Streams of this process that follow a run. */
  get watchers(): number {
    return this.watchedRuns.watchers
  }

  /** Every event after `after`, in order, ending after the run's end or when `signal` aborts. */
  async *follow(runId: string, after: number, signal: AbortSignal): AsyncGenerator<WatchedEvent> {
    for await (const { look, events, lastSeq, isLast } of this.pages(runId, after, signal)) {
      yield* this.withResults(look.tenant_id, runId, events)
      if (isLast) yield { ...endOf(look, lastSeq), ...(await this.ending(look)) }
    }
  }

  /** The same without what nodes and the run put out, for those who follow so many that it would not fit in memory: see `outputOf`. */
  async *followBriefly(runId: string, after: number, signal: AbortSignal): AsyncGenerator<BriefEvent> {
    for await (const { look, events, lastSeq, isLast } of this.pages(runId, after, signal)) {
      yield* events
      if (isLast) yield { ...endOf(look, lastSeq), error: look.error ?? undefined }
    }
  }

  /** What the node of an event put out. */
  async outputOf(tenantId: string, runId: string, { path, attempt }: { path: string; attempt: number }): Promise<Json> {
    const [row] = await this.outputs.rowsOf(JSON.stringify([runId, path, attempt]))
    return row ? await fullValue(this.values, tenantId, row.output, row.output_ref) : null
  }

  /** What is there of a run's events, and what comes; the last page is that of its end. */
  private async *pages(runId: string, after: number, signal: AbortSignal): AsyncGenerator<EventPage> {
    let seq = after
    const watcher = this.watchedRuns.watch(runId)
    const leave = () => watcher.leave()
    signal.addEventListener('abort', leave, { once: true })
    try {
      await this.onFollow(runId)
      while (!signal.aborted) {
        watcher.expect()
        const [look] = await this.looks.rowsOf(`${seq} ${runId}`)
        if (!look) return
        const events = (look.chunks ?? []).flat().filter((event) => event.seq > seq)
        const isLast = !look.more && isFinal(look.state)
        seq = events.at(-1)?.seq ?? seq
        yield { look, events, lastSeq: seq, isLast }
        if (isLast) return
        if (!look.more && !signal.aborted) await watcher.change()
      }
    } finally {
      watcher.leave()
      signal.removeEventListener('abort', leave)
    }
  }

  /** How a run ends, as soon as that is durable, whoever runs it; undefined when `signal` aborts before, or the run is gone. */
  async end(runId: string, signal: AbortSignal): Promise<RunEnd | undefined> {
    const watcher = this.watchedRuns.watch(runId)
    const leave = () => watcher.leave()
    signal.addEventListener('abort', leave, { once: true })
    try {
      while (!signal.aborted) {
        watcher.expect()
        const [look] = await this.looks.rowsOf(`${BEYOND} ${runId}`)
        if (!look) return undefined
        if (isFinal(look.state)) return { ...(await this.ending(look)), state: look.state }
        if (!signal.aborted) await watcher.change()
      }
      return undefined
    } finally {
      watcher.leave()
      signal.removeEventListener('abort', leave)
    }
  }

  /** The events, each completed node with its output. */
  private async *withResults(
    tenantId: string,
    runId: string,
    events: readonly StoredEvent[],
  ): AsyncGenerator<StoredEvent & { result?: Json }> {
    let results = new Map<StoredEvent, Json>()
    for (const [index, event] of events.entries()) {
      if (event.type === 'node_completed' && !results.has(event))
        results = await this.resultsOf(tenantId, runId, events.slice(index))
      yield event.type === 'node_completed' ? { ...event, result: results.get(event) ?? null } : event
    }
  }

  /** The outputs of the first few nodes that are completed among these. */
  private async resultsOf(
    tenantId: string,
    runId: string,
    events: readonly StoredEvent[],
  ): Promise<Map<StoredEvent, Json>> {
    const completed = events.filter(({ type }) => type === 'node_completed').slice(0, RESULTS)
    return new Map(
      await Promise.all(
        completed.map(async (event): Promise<[StoredEvent, Json]> => {
          const { path = '', attempt = 1 } = event
          return [event, await this.outputOf(tenantId, runId, { path, attempt })]
        }),
      ),
    )
  }

  private async ending({ tenant_id, state, result, result_ref, error }: Look) {
    const whole = await fullValue(this.values, tenant_id, result, result_ref)
    return { state, result: whole ?? undefined, error: error ?? undefined }
  }
}

/** The end as the last event of a run. */
function endOf({ state, finished_at }: Look, lastSeq: number) {
  return { seq: lastSeq + 1, type: 'ended' as const, at: (finished_at ?? new Date(0)).toISOString(), state }
}
