import { Inject, Injectable, Logger } from '@nestjs/common'
import { WRITERS } from '../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { crashPoint } from '../../platform/crash-point/crash-point.js'
import { Sql, type SqlSession, type Statement } from '../../platform/database/sql.js'
import { newId } from '../../platform/ids.js'
import type { Json } from '../../platform/json.js'
import { retriedOnDeadlock } from '../runs/lineage/deadlocks.js'
import { type DueSchedule, type Missed, type Overlap, type Plan, planFor, type SkipReason } from './due-slots.js'
import { slotsOf } from './rhythm.js'

/** Schedules fired in one transaction. */
const FIRE_BATCH = 500

/** Where a run of a flow's revision is to stand among others. */
export type TermsOf = (flowId: string, revision: number, input: Json) => Promise<Terms>

interface Terms {
  priority?: number
  tag?: string
  concurrency?: { key: string; limit: number }
}

/** What one look at the schedules did. */
export interface Fired {
  /** How many runs were started. */
  runs: number
  /** Whose they are. */
  accounts: string[]
  /** Runs that were cancelled because the next one came, with those below them. */
  cancelled: string[]
}

interface DueRow {
  account_id: string
  id: string
  flow_id: string
  /** Null where the flow or the account is gone. */
  revision: number | null
  /** Whether the flow is, and the account may start it. */
  enabled: boolean | null
  cron: string | null
  timezone: string | null
  every_ms: number | null
  counted_from: Date
  payload: Json
  overlap: Overlap
  missed: Missed
  jitter_ms: number
  next_run_at: Date
  live: boolean
}

/** One slot, or several that were left out together, on its way into the table. */
interface SlotRecord {
  account_id: string
  schedule_id: string
  slot: Date
  status: 'started' | 'skipped' | 'failed'
  reason?: SkipReason
  last_slot: Date
  slots?: number
  run_id?: string
  revision?: number
  priority?: number
  tag?: string
  concurrency_key?: string
  concurrency_limit?: number
}

/**
 * Rows that another process has in hand are passed over: it fires them. What belongs to a deleted account is gone like what belongs to a
 * deleted flow; an account that may only look starts nothing, nor does what it set up when it could.
 */
const TAKE_DUE: Statement = {
  name: 'schedule_take_due',
  text: `select s.account_id, s.id, s.flow_id, f.revision, f.enabled and a.role = any ($2) as enabled, s.cron, s.timezone, s.every_ms, s.counted_from, s.payload, s.overlap, s.missed,
      s.jitter_ms, s.next_run_at,
      s.overlap <> 'allow' and exists (select from run r where r.account_id = s.account_id and r.schedule_id = s.id
        and r.state in ('queued', 'running', 'waiting')) as live
    from schedule s left join account a on a.id = s.account_id and a.deleted_at is null
      left join flow f on f.id = s.flow_id and f.deleted_at is null and a.id is not null
    where s.due_at <= $1 order by s.due_at limit ${FIRE_BATCH}
    for update of s skip locked`,
}

/** Each slot has one row: whoever writes it starts the run, in the same statement. Nothing starts a flow that was deleted in between. */
const WRITE_SLOTS: Statement = {
  name: 'schedule_write_slots',
  text: `with planned as materialized (
      select p.*, s.tenant_id, s.flow_id, s.node, case when s.payload is null or s.payload::text = 'null' then '{}'::json else s.payload end as input
      from json_to_recordset($1) as p (account_id text, schedule_id text, slot timestamptz, status text, reason text, last_slot timestamptz,
        slots integer, run_id text, revision integer, priority smallint, tag text, concurrency_key text, concurrency_limit integer)
      join schedule s on s.account_id = p.account_id and s.id = p.schedule_id
      join flow f on f.id = s.flow_id and f.deleted_at is null),
    written as (
      insert into schedule_slot (account_id, schedule_id, slot, status, reason, run_id, started_at, last_slot, slots)
        select account_id, schedule_id, slot, status, reason, run_id, $2, last_slot, slots from planned
        on conflict do nothing
        returning account_id, schedule_id, slot, run_id),
    started as (
      insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, schedule_id, start_node, input, wake_at, created_at,
          priority, tag, concurrency_key, concurrency_limit)
        select p.run_id, p.tenant_id, p.account_id, p.flow_id, p.revision, 'queued', 'schedule', p.schedule_id, p.node, p.input,
          case when p.concurrency_key is null then $2::timestamptz end, $2::timestamptz, coalesce(p.priority, 0), coalesce(p.tag, 'default'),
          p.concurrency_key, p.concurrency_limit
        from planned p join written w on w.run_id = p.run_id
        returning 1)
    select count(*)::integer as runs from started`,
}

const ADVANCE: Statement = {
  name: 'schedule_advance',
  text: `update schedule s set next_run_at = x.next, due_at = x.due, last_run_at = coalesce(x.last, s.last_run_at)
    from json_to_recordset($1) as x (account_id text, id text, next timestamptz, due timestamptz, last timestamptz)
    where s.account_id = x.account_id and s.id = x.id`,
}

/** A deleted flow is started by nobody, nor anything of a deleted account; its schedules go with it. */
const DELETE_GONE: Statement = {
  name: 'schedule_delete_gone',
  text: `with gone as (select account_id, id from json_to_recordset($1) as x (account_id text, id text)),
    history as (
      delete from schedule_slot h using gone where h.account_id = gone.account_id and h.schedule_id = gone.id)
    delete from schedule s using gone where s.account_id = gone.account_id and s.id = gone.id`,
}

const TELL_CREATED: Statement = { name: 'schedule_tell_created', text: 'select run_tell_created($1)' }

const CANCEL_LIVE: Statement = {
  name: 'schedule_cancel_live',
  text: `select ended.id from run r cross join lateral run_cancel(r.account_id, r.id, $3) as ended (id)
    where r.account_id = $1 and r.schedule_id = $2 and r.state in ('queued', 'running', 'waiting')`,
}

const NEXT: Statement = {
  name: 'schedule_next',
  text: 'select min(due_at) as at from schedule where due_at is not null',
}

/**
 * Fires the schedules that are due. A slot's row, its run and the schedule's next slot are written in one transaction, so that each slot
 * starts one run over any number of processes, and a crash leaves all of it or nothing.
 */
@Injectable()
export class DueSchedules {
  private readonly logger = new Logger(DueSchedules.name)

  constructor(
    private readonly sql: Sql,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Starts a run for every slot that is due, on the terms of its flow. */
  async fire(termsOf: TermsOf): Promise<Fired> {
    const fired: Fired = { runs: 0, accounts: [], cancelled: [] }
    for (let taken = FIRE_BATCH; taken === FIRE_BATCH; ) {
      const batch = await retriedOnDeadlock(() => this.sql.transaction((tx) => this.fireBatch(tx, termsOf)))
      taken = batch.taken
      fired.runs += batch.runs
      fired.cancelled.push(...batch.cancelled)
      fired.accounts = [...new Set([...fired.accounts, ...batch.accounts])]
    }
    return fired
  }

  async nextDueAt(): Promise<Date | undefined> {
    const [row] = await this.sql.query<{ at: Date | null }>(NEXT)
    return row?.at ?? undefined
  }

  private async fireBatch(tx: SqlSession, termsOf: TermsOf): Promise<Fired & { taken: number }> {
    const now = this.clock.now()
    const due = await tx.query<DueRow>(TAKE_DUE, [now, WRITERS])
    const slots: SlotRecord[] = []
    const advances: object[] = []
    const cancelled: string[] = []
    for (const row of due.filter(({ revision }) => revision !== null)) {
      const plan = row.enabled ? planFor(toDue(row), now) : withoutStarts(planFor(toDue(row), now))
      const terms = plan.starts.length > 0 ? await this.termsFor(row, termsOf) : undefined
      slots.push(...startedSlots(row, plan, terms), ...skippedSlots(row, plan))
      if (plan.cancelsPrevious && terms) cancelled.push(...(await cancelLive(tx, row, now)))
      const last = terms && now
      advances.push({ account_id: row.account_id, id: row.id, next: plan.next, due: plan.dueAt, last })
    }
    const [written] =
      slots.length > 0 ? await tx.query<{ runs: number }>(WRITE_SLOTS, [JSON.stringify(slots), now]) : []
    if (due.length > 0) crashPoint('schedule')
    if (advances.length > 0) await tx.query(ADVANCE, [JSON.stringify(advances)])
    const gone = due.filter(({ revision }) => revision === null).map(({ account_id, id }) => ({ account_id, id }))
    if (gone.length > 0) await tx.query(DELETE_GONE, [JSON.stringify(gone)])
    const started = slots.filter(({ run_id }) => run_id !== undefined)
    if (started.length > 0) await tx.query(TELL_CREATED, [started.map(({ run_id }) => run_id)])
    const accounts = started.map(({ account_id }) => account_id)
    return { taken: due.length, runs: written?.runs ?? 0, accounts, cancelled }
  }

  /** A flow that cannot say where its run is to stand loses the slot; it must not hold up the schedules beside it. */
  private async termsFor(row: DueRow, termsOf: TermsOf): Promise<Terms | undefined> {
    try {
      return await termsOf(row.flow_id, row.revision as number, row.payload ?? {})
    } catch (error) {
      this.logger.error(
        { err: error, schedule: row.id, flow: row.flow_id },
        'a slot could not be placed and is given up',
      )
      return undefined
    }
  }
}

/** One that cannot be read any more starts what has come, and then nothing. */
function toDue(row: DueRow): DueSchedule {
  return {
    key: `${row.account_id}/${row.id}`,
    slot: row.next_run_at,
    slots: { next: (after) => rhythmOf(row).next(after) },
    overlap: row.overlap,
    missed: row.missed,
    jitterMs: row.jitter_ms,
    isLive: row.live,
  }
}

function rhythmOf({ cron, timezone, every_ms, counted_from }: DueRow) {
  return every_ms === null
    ? slotsOf({ cron: cron ?? '', timezone: timezone ?? 'UTC' })
    : slotsOf({ everyMs: every_ms, countedFrom: counted_from })
}

/** Nothing starts a flow that is disabled, or whose account may only look; its slots go by. */
function withoutStarts(plan: Plan): Plan {
  const skipped = plan.starts.map((slot) => ({ first: slot, last: slot, count: 1, reason: 'disabled' as const }))
  return { ...plan, starts: [], skipped: [...plan.skipped, ...skipped], cancelsPrevious: false }
}

function startedSlots(row: DueRow, { starts }: Plan, terms: Terms | undefined): SlotRecord[] {
  return starts.map((slot) => {
    const record = { account_id: row.account_id, schedule_id: row.id, slot, last_slot: slot, slots: 1 }
    if (!terms) return { ...record, status: 'failed', reason: 'unplaceable' }
    return {
      ...record,
      status: 'started',
      run_id: newId('run'),
      revision: row.revision as number,
      priority: terms.priority,
      tag: terms.tag,
      concurrency_key: terms.concurrency?.key,
      concurrency_limit: terms.concurrency?.limit,
    }
  })
}

function skippedSlots(row: DueRow, { skipped }: Plan): SlotRecord[] {
  return skipped.map(({ first, last, count, reason }) => ({
    account_id: row.account_id,
    schedule_id: row.id,
    slot: first,
    status: 'skipped',
    reason,
    last_slot: last,
    slots: count,
  }))
}

async function cancelLive(tx: SqlSession, row: DueRow, now: Date): Promise<string[]> {
  const ended = await tx.query<{ id: string }>(CANCEL_LIVE, [row.account_id, row.id, now])
  return ended.map(({ id }) => id)
}
