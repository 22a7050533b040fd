import { Injectable, Optional } from '@nestjs/common'
import type { EntityManager } from 'typeorm'
import type { FlowError } from '../../engine/host.js'
import type { LogLevel } from '../../engine/step.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import type { Json, JsonObject } from '../../platform/json.js'
import { ALL_STATES, LIVE_STATES, type RunState } from './run-state.js'
import { fullValue, RunValues } from './values/run-values.js'

/** One execution of one flow revision, as it is read. flow8 calls it a play, FlowRunner an execution. */
export interface Run {
  id: string
  accountId: string
  flowId: string
  revision: number
  state: RunState
  /** The run whose step started this one. */
  parentId?: string
  /** The run that this one was started again from. */
  resumedFrom?: string
  input: Json
  result?: JsonObject
  error?: Partial<FlowError>
  createdAt: Date
  finishedAt?: Date
}

export type RunSummary = Omit<Run, 'input' | 'result'>

export interface RunFilter {
  accountId: string
  flowId?: string
  /** Of any of these flows, which are one thing to their callers. */
  flowIds?: readonly string[]
  states?: readonly RunState[]
  parentId?: string
  resumedFrom?: string
  /** Only those that were given up and that nobody has taken care of. */
  isDead?: boolean
}

export interface LogEntry {
  seq: number
  at: string
  level: LogLevel
  message: string
  node?: string
  nodeType?: string
  data?: JsonObject
}

/** Which lines of a run's log. */
export interface LogFilter {
  level?: LogLevel
  since?: Date
}

export interface Page<T> {
  items: T[]
  /** How many there are before paging. */
  total: number
}

export interface RunRow {
  id: string
  account_id: string
  flow_id: string
  revision: number
  state: RunState
  parent_run_id: string | null
  resumed_from: string | null
  error: Partial<FlowError> | null
  created_at: Date
  finished_at: Date | null
}

interface FullRow extends RunRow {
  tenant_id: string
  input: Json
  input_ref: string | null
  result: JsonObject | null
  result_ref: string | null
}

const FIND: Statement = {
  name: 'run_find',
  text: `select id, tenant_id, account_id, flow_id, revision, state, parent_run_id, resumed_from, input, input_ref, result,
      result_ref, error, created_at, finished_at
    from run where id = $1 and account_id = $2`,
}

const SUMMARY: Statement = {
  name: 'run_summary',
  text: `select id, account_id, flow_id, revision, state, error, created_at, finished_at from run where id = $1 and account_id = $2`,
}

const TOTAL: Statement = { name: 'run_total', text: 'select run_total($1, $2, $3)::float8 as total' }

const PAGE: Statement = {
  name: 'run_page',
  text: `select id, account_id, flow_id, revision, state, parent_run_id, resumed_from, error, created_at, finished_at
    from run_page($1, $2, $3, $4, $5)`,
}

const CANCEL = 'select id from run_cancel($1, $2, $3) as ended (id)'

const LOGS: Statement = {
  name: 'run_logs',
  text: `with line as (
      select e.entry, (e.entry ->> 'seq')::integer as seq
      from run_event_chunk c cross join lateral json_array_elements(c.entries) as e (entry)
      where c.run_id = $1 and e.entry ->> 'type' = 'log' and ($2::text is null or e.entry ->> 'level' = $2)
        and ($5::timestamptz is null or (e.entry ->> 'at')::timestamptz >= $5))
    select (select count(*)::integer from line) as total,
      coalesce((select json_agg(entry order by seq) from (
        select entry, seq from line order by seq limit $3 offset $4) as page), '[]') as entries`,
}

const LAST_SEQ: Statement = {
  name: 'run_last_seq',
  text: 'select max(last_seq) as last from run_event_chunk where run_id = $1',
}

/**
 * The table of runs as callers meet it: by id, by page, by their logs, and their cancel. An account finds its own runs only; `logs` is
 * for a run that was found before.
 */
@Injectable()
export class RunsQueries {
  constructor(
    private readonly sql: Sql,
    @Optional() private readonly values?: RunValues,
  ) {}

  /** Without its values, which may be large, or lost. */
  async findSummary(accountId: string, id: string): Promise<RunSummary | undefined> {
    const [row] = await this.sql.query<RunRow>(SUMMARY, [id, accountId])
    return row && toSummary(row)
  }

  /** Throws `ValueUnavailable` where its input or result is not to be had. */
  async find(accountId: string, id: string): Promise<Run | undefined> {
    const [row] = await this.sql.query<FullRow>(FIND, [id, accountId])
    if (!row) return undefined
    const [input, result] = await Promise.all([
      fullValue(this.values, row.tenant_id, row.input, row.input_ref),
      fullValue(this.values, row.tenant_id, row.result, row.result_ref),
    ])
    return { ...toSummary(row), input, result: result ?? undefined }
  }

  /** Newest first. What a page costs does not depend on how many runs there are. */
  async page(
    { accountId, flowId, flowIds = flowId === undefined ? undefined : [flowId], states = ALL_STATES }: RunFilter,
    limit: number,
    offset: number,
  ): Promise<Page<RunSummary>> {
    const asked = [accountId, flowIds ?? null, states]
    const [row] = await this.sql.query<{ total: number }>(TOTAL, asked)
    const total = row?.total ?? 0
    const rows = total <= offset ? [] : await this.sql.query<RunRow>(PAGE, [...asked, limit, offset])
    return { items: rows.map(toSummary), total }
  }

  async logs(runId: string, { level, since }: LogFilter, limit: number, offset: number): Promise<Page<LogEntry>> {
    const asked = [runId, level ?? null, limit, offset, since ?? null]
    const [row] = await this.sql.query<{ total: number; entries: LogEntry[] }>(LOGS, asked)
    return { items: row?.entries ?? [], total: row?.total ?? 0 }
  }

  /** The number of the last event that is written. */
  async lastSeq(runId: string): Promise<number> {
    const [row] = await this.sql.query<{ last: number | null }>(LAST_SEQ, [runId])
    return row?.last ?? 0
  }

  async countLive(tx: EntityManager, accountId: string): Promise<number> {
    const text = 'select count(*)::integer as count from run where account_id = $1 and state = any ($2)'
    const [row] = await tx.query<{ count: number }[]>(text, [accountId, LIVE_STATES])
    return row?.count ?? 0
  }

  /** Ends a live run and all that are below it. Returns which; none when it is not live, or not the account's. */
  async cancel(tx: EntityManager, accountId: string, id: string, at: Date): Promise<string[]> {
    const rows = await tx.query<{ id: string }[]>(CANCEL, [accountId, id, at])
    return rows.map((row) => row.id)
  }
}

export function toSummary(row: RunRow): RunSummary {
  return {
    id: row.id,
    accountId: row.account_id,
    flowId: row.flow_id,
    revision: row.revision,
    state: row.state,
    parentId: row.parent_run_id ?? undefined,
    resumedFrom: row.resumed_from ?? undefined,
    error: row.error ?? undefined,
    createdAt: row.created_at,
    finishedAt: row.finished_at ?? undefined,
  }
}
