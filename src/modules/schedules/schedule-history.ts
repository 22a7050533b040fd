import { Injectable } from '@nestjs/common'
import { Sql, type SqlSession, type Statement } from '../../platform/database/sql.js'
import type { SkipReason } from './due-slots.js'

/** A slot that has come, or several in a row that were left out together, with what became of it. */
export interface PastSlot {
  slot: Date
  /** The last of the slots that this stands for. */
  lastSlot: Date
  /** How many it stands for; absent where nobody counted. */
  slots?: number
  /** `started` where the run is not kept any more. */
  state: 'queued' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled' | 'started' | 'skipped' | 'unplaced'
  reason?: SkipReason
  /** When it was decided: when the run was made, where there is one. */
  startedAt: Date
  finishedAt?: Date
  runId?: string
}

export interface PastSlots {
  items: PastSlot[]
  total: number
}

interface SlotRow {
  slot: Date
  last_slot: Date
  slots: number | null
  state: PastSlot['state']
  reason: SkipReason | null
  started_at: Date
  finished_at: Date | null
  run_id: string | null
}

const COUNT: Statement = {
  name: 'schedule_slot_count',
  text: 'select count(*)::integer as total from schedule_slot where account_id = $1 and schedule_id = $2',
}

const PAGE: Statement = {
  name: 'schedule_slot_page',
  text: `select h.slot, h.last_slot, h.slots, h.reason, h.started_at, h.run_id, r.finished_at,
      case h.status when 'started' then coalesce(r.state, 'started') when 'failed' then 'unplaced' else h.status end as state
    from schedule_slot h left join run r on r.id = h.run_id
    where h.account_id = $1 and h.schedule_id = $2 order by h.slot desc limit $3 offset $4`,
}

/** What became of the slots of schedules. */
@Injectable()
export class ScheduleHistory {
  constructor(private readonly sql: Sql) {}

  /** The latest first. */
  async page(accountId: string, scheduleId: string, limit: number, offset: number): Promise<PastSlots> {
    const [row] = await this.sql.query<{ total: number }>(COUNT, [accountId, scheduleId])
    const rows = await this.sql.query<SlotRow>(PAGE, [accountId, scheduleId, limit, offset])
    return { items: rows.map(toPastSlot), total: row?.total ?? 0 }
  }
}

/** Rows of one statement: a tenth of a second's work. */
const REMOVE_BATCH = 5_000

const REMOVE: Statement = {
  name: 'schedule_slot_remove',
  text: `with gone as (
      select account_id, schedule_id, slot from schedule_slot where slot < $1 order by slot limit ${REMOVE_BATCH} for update skip locked)
    delete from schedule_slot h using gone
      where h.account_id = gone.account_id and h.schedule_id = gone.schedule_id and h.slot = gone.slot
      returning 1`,
}

/** Schedules that never became due again after their flow was deleted, because they were paused. */
const REMOVE_SCHEDULES: Statement = {
  name: 'schedule_remove_of_gone_flows',
  text: `delete from schedule s using flow f where f.id = s.flow_id and f.deleted_at < $1`,
}

/** Removes some of the slots that came before a time, and schedules of flows that were deleted before it. Returns whether that were all. */
export async function removeOldSlots(sql: SqlSession, before: Date): Promise<{ rows: number; isDone: boolean }> {
  const rows = (await sql.query(REMOVE, [before])).length
  const isDone = rows < REMOVE_BATCH
  if (isDone) await sql.query(REMOVE_SCHEDULES, [before])
  return { rows, isDone }
}

function toPastSlot(row: SlotRow): PastSlot {
  return {
    slot: row.slot,
    lastSlot: row.last_slot,
    slots: row.slots ?? undefined,
    state: row.state,
    reason: row.reason ?? undefined,
    startedAt: row.started_at,
    finishedAt: row.finished_at ?? undefined,
    runId: row.run_id ?? undefined,
  }
}
