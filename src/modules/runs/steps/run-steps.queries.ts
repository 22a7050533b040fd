import { Injectable, Optional } from '@nestjs/common'
import type { FlowError } from '../../../engine/host.js'
import { Sql, type Statement } from '../../../platform/database/sql.js'
import type { Json } from '../../../platform/json.js'
import { fullValue, RunValues } from '../values/run-values.js'
import type { SettledStep, WaitsFor } from './step-state.js'

/** What is recorded of a visit to a node, without what may be large. */
export interface RecordedStep extends SettledStep {
  path: string
  node: string
  nodeType: string
  /** How many attempts came to an end. */
  attempt: number
  startedAt: Date
  finishedAt: Date
}

/** A visit that has begun; nothing may be recorded of it yet. */
export interface StartedStep {
  path: string
  node: string
  nodeType: string
  startedAt: Date
}

/** What an attempt put out, or why it failed. */
export interface StepValue {
  output: Json
  error?: Partial<FlowError>
}

/** Rounds of loops, items of batches and the lists of these are no visits: their paths end with a bracket. */
const RECORDED: Statement = {
  name: 'run_steps_recorded',
  text: `select distinct on (path) path, node, node_type as "nodeType", attempt, state, action, finished_at as "finishedAt",
      min(started_at) over (partition by path) as "startedAt"
    from step_outcome where run_id = $1 and right(path, 1) <> ']' order by path, attempt desc`,
}

const STARTED: Statement = {
  name: 'run_steps_started',
  text: `select e.entry ->> 'path' as path, min(e.entry ->> 'node') as node, min(e.entry ->> 'nodeType') as "nodeType",
      min((e.entry ->> 'at')::timestamptz) as "startedAt"
    from run_event_chunk c cross join lateral json_array_elements(c.entries) as e (entry)
    where c.run_id = $1 and e.entry ->> 'type' = 'node_started' and e.entry ->> 'path' is not null
    group by e.entry ->> 'path'`,
}

const WAITS: Statement = {
  name: 'run_steps_waits',
  text: `select path, 'answer' as "waitsFor" from signal_wait where run_id = $1 and delivered_at is null
    union all
    select parent_path, 'answer' from run
      where parent_run_id = $1 and awaited and state in ('queued', 'running', 'waiting')
    union all
    select path, 'time' from timer where run_id = $1 and due_at > $2`,
}

const VALUES: Statement = {
  name: 'run_steps_values',
  text: `select o.path, o.output, o.output_ref, o.error
    from unnest($2::text[], $3::integer[]) as asked (path, attempt)
    join step_outcome o on o.run_id = $1 and o.path = asked.path and o.attempt = asked.attempt`,
}

/** What the steps of a run left in its tables, for a run that was found before. */
@Injectable()
export class RunStepsQueries {
  constructor(
    private readonly sql: Sql,
    @Optional() private readonly values?: RunValues,
  ) {}

  async recorded(runId: string): Promise<RecordedStep[]> {
    const rows = await this.sql.query<RecordedStep & { action: string | null }>(RECORDED, [runId])
    return rows.map((row) => ({ ...row, action: row.action ?? undefined }))
  }

  /** By what was told of them. */
  async started(runId: string): Promise<StartedStep[]> {
    return await this.sql.query<StartedStep & object>(STARTED, [runId])
  }

  /** What steps wait for beside approvals, by the paths of their visits. */
  async waits(runId: string, now: Date): Promise<Map<string, WaitsFor>> {
    const rows = await this.sql.query<{ path: string; waitsFor: WaitsFor }>(WAITS, [runId, now])
    const waits = new Map<string, WaitsFor>()
    for (const { path, waitsFor } of rows) {
      const visit = path.replace(/\[\d*\]$/, '')
      if (waits.get(visit) !== 'answer') waits.set(visit, waitsFor)
    }
    return waits
  }

  /** By path. Throws `ValueUnavailable` where one is not to be had. */
  async valuesOf(
    { id, tenantId }: { id: string; tenantId: string },
    steps: readonly { path: string; attempt: number }[],
  ): Promise<Map<string, StepValue>> {
    if (steps.length === 0) return new Map()
    const rows = await this.sql.query<{
      path: string
      output: Json
      output_ref: string | null
      error: Partial<FlowError> | null
    }>(VALUES, [id, steps.map(({ path }) => path), steps.map(({ attempt }) => attempt)])
    const read = rows.map(async ({ path, output, output_ref, error }): Promise<[string, StepValue]> => {
      const whole = await fullValue(this.values, tenantId, output, output_ref)
      return [path, { output: whole, error: error ?? undefined }]
    })
    return new Map(await Promise.all(read))
  }
}
