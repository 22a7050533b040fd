import { Inject, Injectable } from '@nestjs/common'
import { type RunIdentity, StepError, type Transaction } from '../../engine/step.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { newId } from '../../platform/ids.js'
import type { Json, JsonObject } from '../../platform/json.js'
import type { FlowSchedule, FlowScheduleInput, FlowSchedules } from '../../steps/ports.js'
import { type Transactor, within } from '../steps/transactions.js'
import { slotsOf } from './rhythm.js'

/** Runs that `get` shows. */
const SHOWN_RUNS = 10

interface ScheduleRow {
  id: string
  flow_id: string | null
  node: string | null
  cron: string | null
  every: string | null
  timezone: string | null
  payload: Json
  next_run_at: Date | null
}

/** The flow that a job is has no name here. */
const COLUMNS = `id, case when schedule.target_type = 'flow' then schedule.flow_id end as flow_id, node, cron, every, timezone,
  payload, next_run_at`

/** A node's schedule lets its runs overlap. One that somebody has paused stays so, whatever its node plans. */
const SAVE: Statement = {
  name: 'schedule_save',
  text: `insert into schedule (id, account_id, tenant_id, flow_id, node, cron, timezone, payload, next_run_at, due_at, name, created_at,
        updated_at)
    select $1, $2, $3, $4, $5, $6, $7, $8::json, $9::timestamptz, $9::timestamptz, $1, $10::timestamptz, $10::timestamptz from flow
      where id = $4 and account_id = $2 and deleted_at is null
    on conflict (account_id, id) do update set target_type = 'flow', job_id = null, flow_id = excluded.flow_id,
      node = excluded.node, cron = excluded.cron, every = null, every_ms = null, timezone = excluded.timezone, payload = excluded.payload,
      next_run_at = case when schedule.enabled then excluded.next_run_at end,
      due_at = case when schedule.enabled then excluded.due_at end,
      updated_at = greatest(excluded.updated_at, schedule.updated_at + interval '1 millisecond')
    returning ${COLUMNS}`,
}
const LIST: Statement = {
  name: 'schedule_list',
  text: `select ${COLUMNS} from schedule where account_id = $1 order by created_at, id`,
}
const FIND: Statement = {
  name: 'schedule_find',
  text: `select ${COLUMNS} from schedule where account_id = $1 and id = $2`,
}
const DELETE: Statement = {
  name: 'schedule_delete',
  text: `with history as (delete from schedule_slot where account_id = $1 and schedule_id = $2)
    delete from schedule where account_id = $1 and id = $2 returning id`,
}
const LATEST_RUNS: Statement = {
  name: 'schedule_latest_runs',
  text: `select id, case when finished_at is null then 'running' else state end as state, created_at, finished_at
    from run where account_id = $1 and schedule_id = $2
    order by id desc limit ${SHOWN_RUNS}`,
}

/** Schedules as flows make them with their `cron` nodes, and look after them. */
@Injectable()
export class SchedulesOfFlows implements FlowSchedules {
  constructor(
    @Inject(Sql) private readonly sql: Transactor,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  within(transaction: Transaction): FlowSchedules {
    return new SchedulesOfFlows(within(transaction), this.clock)
  }

  async schedule(run: RunIdentity, input: FlowScheduleInput): Promise<FlowSchedule> {
    const now = this.clock.now()
    const [row] = await this.sql.query<ScheduleRow>(SAVE, [
      input.id ?? newId('schedule'),
      run.accountId,
      run.tenantId,
      input.flowId,
      input.node ?? null,
      input.cron,
      input.timezone ?? null,
      input.payload === undefined ? null : JSON.stringify(input.payload),
      firstSlot(input, now) ?? null,
      now,
    ])
    if (!row) throw new StepError(`flow '${input.flowId}' does not exist`, { retryable: false })
    return toSchedule(row)
  }

  async list(run: RunIdentity): Promise<FlowSchedule[]> {
    const rows = await this.sql.query<ScheduleRow>(LIST, [run.accountId])
    return rows.map(toSchedule)
  }

  async get(run: RunIdentity, id: string): Promise<(FlowSchedule & { executions: JsonObject[] }) | undefined> {
    const [row] = await this.sql.query<ScheduleRow>(FIND, [run.accountId, id])
    if (!row) return undefined
    const runs = await this.sql.query<{ id: string; state: string; created_at: Date; finished_at: Date | null }>(
      LATEST_RUNS,
      [run.accountId, id],
    )
    const executions = runs.map((started) => ({
      id: started.id,
      status: started.state,
      started_at: started.created_at.toISOString(),
      completed_at: started.finished_at?.toISOString() ?? null,
    }))
    return { ...toSchedule(row), executions }
  }

  async delete(run: RunIdentity, id: string): Promise<boolean> {
    const rows = await this.sql.query(DELETE, [run.accountId, id])
    return rows.length > 0
  }
}

function firstSlot({ cron, timezone = 'UTC' }: FlowScheduleInput, now: Date): Date | undefined {
  try {
    return slotsOf({ cron, timezone }).next(now)
  } catch (error) {
    throw new StepError(`invalid cron expression '${cron}': ${error instanceof Error ? error.message : error}`, {
      code: 'invalid_cron',
      retryable: false,
    })
  }
}

/** A schedule that somebody gave an interval reads as the cron dialect of Go spells one. */
function toSchedule(row: ScheduleRow): FlowSchedule {
  return {
    id: row.id,
    cron: row.cron ?? `@every ${row.every}`,
    timezone: row.timezone ?? undefined,
    flowId: row.flow_id ?? undefined,
    node: row.node ?? undefined,
    payload: row.payload,
    nextRunAt: row.next_run_at ?? undefined,
  }
}
