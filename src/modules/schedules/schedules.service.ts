import { Inject, Injectable } from '@nestjs/common'
import { Cron } from 'croner'
import type { RunIdentity, Transaction } from '../../engine/step.js'
import { StepError } from '../../engine/step.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { crashPoint } from '../../platform/crash-point/crash-point.js'
import { Sql, type SqlSession, type Statement } from '../../platform/database/sql.js'
import { newId } from '../../platform/ids.js'
import type { Json, JsonObject } from '../../platform/json.js'
import type { FlowSchedule, FlowScheduleInput, FlowSchedules } from '../../steps/ports.js'
import { type Transactor, within } from '../steps/transactions.js'

/** Runs that `get` shows. */
const SHOWN_RUNS = 10
/** Schedules fired in one transaction. */
const FIRE_BATCH = 100

interface ScheduleRow {
  id: string
  account_id: string
  tenant_id: string
  flow_id: string
  node: string | null
  cron: string
  timezone: string | null
  payload: Json
  next_run_at: Date | null
}

/** Where a run of a flow's revision is to stand among others. */
export type TermsOf = (
  flowId: string,
  revision: number,
  input: Json,
) => Promise<{ priority?: number; tag?: string; concurrency?: { key: string; limit: number } }>

const COLUMNS = 'id, account_id, tenant_id, flow_id, node, cron, timezone, payload, next_run_at'

const SAVE: Statement = {
  name: 'schedule_save',
  text: `insert into schedule (id, account_id, tenant_id, flow_id, node, cron, timezone, payload, next_run_at)
    select $1, $2, $3, $4, $5, $6, $7, $8::json, $9 from flow
      where id = $4 and account_id = $2 and deleted_at is null
    on conflict (account_id, id) do update set flow_id = excluded.flow_id, node = excluded.node, cron = excluded.cron,
      timezone = excluded.timezone, payload = excluded.payload, next_run_at = excluded.next_run_at
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
  text: 'delete from schedule where account_id = $1 and id = $2 returning id',
}
const LATEST_RUNS: Statement = {
  name: 'schedule_latest_runs',
  text: `select id, case when finished_at is null then 'running' else state end as state, created_at, finished_at
    from run where account_id = $1 and schedule_id = $2
    order by id desc limit ${SHOWN_RUNS}`,
}
const TAKE_DUE: Statement = {
  name: 'schedule_take_due',
  text: `select ${COLUMNS} from schedule where next_run_at <= $1 order by next_run_at limit ${FIRE_BATCH}
    for update skip locked`,
}
const ADVANCE: Statement = {
  name: 'schedule_advance',
  text: 'update schedule set next_run_at = $3, last_run_at = $4 where account_id = $1 and id = $2',
}
/** A deleted flow is started by nobody; its schedule goes with it. */
const START: Statement = {
  name: 'schedule_start',
  text: `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, schedule_id, start_node, input, wake_at, created_at,
        priority, tag, concurrency_key, concurrency_limit)
    select $1, tenant_id, account_id, id, $7, 'queued', 'schedule', $3, $4, $5::json,
        case when $10::text is null then $6::timestamptz end, $6::timestamptz, $8, $9, $10, $11
    from flow where id = $2 and deleted_at is null
    returning id`,
}
const REVISIONS: Statement = {
  name: 'schedule_revisions',
  text: 'select id, revision from flow where id = any ($1) and deleted_at is null',
}
const NEXT: Statement = { name: 'schedule_next', text: 'select min(next_run_at) as at from schedule' }

/**
 * Schedules that flows make with their `cron` nodes. A schedule that is due starts a run and moves on in one transaction, so that each
 * slot starts one run over any number of processes; slots missed while nothing ran are made up for by one run.
 */
@Injectable()
export class SchedulesService implements FlowSchedules {
  constructor(
    @Inject(Sql) private readonly sql: Transactor,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  within(transaction: Transaction): FlowSchedules {
    return new SchedulesService(within(transaction), this.clock)
  }

  async schedule(run: RunIdentity, input: FlowScheduleInput): Promise<FlowSchedule> {
    const next = nextSlot(input.cron, input.timezone, this.clock.now())
    const [row] = await this.sql.query<ScheduleRow>(SAVE, [
      input.id ?? newId('schedule'),
      run.accountId,
      run.tenantId,
      input.flowId,
      input.node ?? null,
      input.cron,
      input.timezone ?? null,
      input.payload === undefined ? null : JSON.stringify(input.payload),
      next,
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

  /** Starts a run for every schedule that is due, on the terms of its flow. Returns how many. */
  async fire(termsOf: TermsOf): Promise<number> {
    let fired = 0
    for (let taken = FIRE_BATCH; taken === FIRE_BATCH; ) {
      const now = this.clock.now()
      taken = await this.sql.transaction(async (tx) => {
        const due = await tx.query<ScheduleRow>(TAKE_DUE, [now])
        const revisions = await revisionsOf(tx, due)
        for (const row of due) {
          const revision = revisions.get(row.flow_id)
          const started = revision !== undefined && (await startRun(tx, row, revision, now, termsOf))
          crashPoint('schedule')
          if (started) {
            await tx.query(ADVANCE, [row.account_id, row.id, slotAfter(row, now), now])
            fired++
          } else await tx.query(DELETE, [row.account_id, row.id])
        }
        return due.length
      })
    }
    return fired
  }

  async nextDueAt(): Promise<Date | undefined> {
    const [row] = await this.sql.query<{ at: Date | null }>(NEXT)
    return row?.at ?? undefined
  }
}

async function revisionsOf(tx: SqlSession, schedules: readonly ScheduleRow[]): Promise<Map<string, number>> {
  if (schedules.length === 0) return new Map()
  const flowIds = schedules.map((row) => row.flow_id)
  const rows = await tx.query<{ id: string; revision: number }>(REVISIONS, [flowIds])
  return new Map(rows.map(({ id, revision }) => [id, revision]))
}

async function startRun(
  tx: SqlSession,
  { flow_id, id, node, payload }: ScheduleRow,
  revision: number,
  now: Date,
  termsOf: TermsOf,
): Promise<boolean> {
  const input = payload ?? {}
  const { priority = 0, tag = 'default', concurrency } = await termsOf(flow_id, revision, input)
  const values = [newId('run'), flow_id, id, node, JSON.stringify(input), now, revision, priority, tag]
  const started = await tx.query(START, [...values, concurrency?.key ?? null, concurrency?.limit ?? null])
  return started.length > 0
}

/** The first slot after `after`; null when there is none any more. Throws `StepError` for what is no cron expression. */
function nextSlot(cron: string, timezone: string | undefined, after: Date): Date | null {
  try {
    return new Cron(cron, { timezone, mode: 'auto' }).nextRun(after)
  } catch (error) {
    throw new StepError(`invalid cron expression '${cron}': ${error instanceof Error ? error.message : error}`, {
      code: 'invalid_cron',
      retryable: false,
    })
  }
}

/** A stored schedule that cannot be read any more (a time zone that was renamed) stops; it must not stop the others. */
function slotAfter(row: ScheduleRow, now: Date): Date | null {
  try {
    return nextSlot(row.cron, row.timezone ?? undefined, now)
  } catch {
    return null
  }
}

function toSchedule(row: ScheduleRow): FlowSchedule {
  return {
    id: row.id,
    cron: row.cron,
    timezone: row.timezone ?? undefined,
    flowId: row.flow_id,
    node: row.node ?? undefined,
    payload: row.payload,
    nextRunAt: row.next_run_at ?? undefined,
  }
}
