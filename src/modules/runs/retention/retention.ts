import { setTimeout as delay } from 'node:timers/promises'
import type { Sql, Statement } from '../../../platform/database/sql.js'
import { removeOldSlots } from '../../schedules/schedule-history.js'
import { Partitions, WEEKLY, type Week, type WeeklyTable } from './partitions.js'

/** Runs of one statement: a tenth of a second's work, so that nobody waits for its locks. */
const BATCH = 500
/** A sleep after each batch as long as the batch took, and at least this: at most half of one connection is used. */
const REST_MS = 10

/**
 * The next finished runs that are old enough. Ids tell when runs were made, and a run cannot have finished before: the primary key leads
 * to them. A child that its parent may still ask for stays; its parent, or whoever went on from a run, does not miss it otherwise.
 */
const REMOVE_RUNS: Statement = {
  name: 'retention_runs',
  text: `with gone as (
      select id from run r
        where id > $1 and id < run_id_at($2) and finished_at < $2
          and not exists (select from run p where p.id = r.parent_run_id and p.finished_at is null)
        order by id limit ${BATCH} for update skip locked),
    -- Who follows an account's events has to know what it missed.
    told as (
      insert into run_event_pruned as p (account_id, position)
        select c.account_id, max(c.position) from run_event_chunk c join gone on gone.id = c.run_id
          where c.position is not null group by c.account_id order by c.account_id
        on conflict (account_id) do update set position = greatest(p.position, excluded.position)),
    opens as (delete from step_open using gone where step_open.run_id = gone.id),
    approvals as (delete from approval using gone where approval.run_id = gone.id),
    artifacts as (update artifact set expires_at = least(expires_at, $2) from gone where artifact.run_id = gone.id),
    removed as (delete from run using gone where run.id = gone.id)
    select max(id) as last, count(*)::integer as count from gone`,
}

const ANY_RUN: Statement = { name: 'retention_any_run', text: 'select 1 from run where id >= $1 and id < $2 limit 1' }

export interface Removed {
  runs: number
  /** Weeks whose partitions were dropped. */
  weeks: string[]
  /** Rows of removed runs that went one by one, because their partition is still needed. */
  rows: number
  /** What went wrong with single weeks, which stay until the next time. */
  failures: unknown[]
}

/**
 * Removes runs that finished long ago, with everything that they did. Runs go in small batches; what they did goes with the partition of
 * their week, once no run of that week is left. Where one is left, it is looked for row by row.
 */
export class Retention {
  private readonly partitions: Partitions

  constructor(private readonly sql: Sql) {
    this.partitions = new Partitions(sql)
  }

  /** Removes what finished before `before`, until `signal` aborts. */
  async removeBefore(before: Date, signal: AbortSignal): Promise<Removed> {
    const removed: Removed = { runs: await this.removeRuns(before, signal), weeks: [], rows: 0, failures: [] }
    for (const week of await this.partitions.over(before)) {
      if (signal.aborted) break
      const isNeeded = (await this.sql.query(ANY_RUN, [week.first_id, week.next_id])).length > 0
      if (isNeeded) removed.rows += await this.removeRows(`_${week.week}`, week, signal)
      else
        await this.partitions.drop(week).then(
          () => removed.weeks.push(week.week),
          (error) => removed.failures.push(error),
        )
    }
    removed.rows += await this.removeRows('_rest', { next_id: await this.firstIdAt(before) }, signal)
    removed.rows += await this.removeSlots(before, signal)
    return removed
  }

  private async removeRuns(before: Date, signal: AbortSignal): Promise<number> {
    let removed = 0
    let after = ''
    while (!signal.aborted) {
      const [batch] = await this.throttled(signal, () =>
        this.sql.query<{ last: string | null; count: number }>(REMOVE_RUNS, [after, before]),
      )
      if (!batch || batch.last === null) break
      removed += batch.count
      after = batch.last
    }
    return removed
  }

  /** Removes rows of runs that are not there any more from what stays of a week, or of no week. */
  private async removeRows(suffix: string, { next_id }: Pick<Week, 'next_id'>, signal: AbortSignal): Promise<number> {
    let removed = 0
    for (const table of WEEKLY)
      for (let after: string | null = ''; after !== null && !signal.aborted; ) {
        const [batch] = await this.throttled(signal, () =>
          this.sql.query<{ last: string | null; rows: number }>(orphans(table, suffix), [after, next_id]),
        )
        removed += batch?.rows ?? 0
        after = batch?.last ?? null
      }
    return removed
  }

  /** What became of the slots of schedules is kept as long as the runs that they started. */
  private async removeSlots(before: Date, signal: AbortSignal): Promise<number> {
    let removed = 0
    for (let isDone = false; !isDone && !signal.aborted; ) {
      const batch = await this.throttled(signal, () => removeOldSlots(this.sql, before))
      removed += batch.rows
      isDone = batch.isDone
    }
    return removed
  }

  private async firstIdAt(at: Date): Promise<string> {
    const [row] = await this.sql.query<{ id: string }>(
      { name: 'retention_id_at', text: 'select run_id_at($1) as id' },
      [at],
    )
    return row?.id ?? ''
  }

  /** Rests after each piece of work, so that others have the database too. */
  private async throttled<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const startedAt = performance.now()
    const result = await work()
    await delay(Math.max(REST_MS, performance.now() - startedAt), undefined, { signal }).catch(() => {})
    return result
  }
}

/** The next runs that a partition knows of, and those of their rows whose runs are gone. */
function orphans(table: WeeklyTable, suffix: string): Statement {
  return {
    name: `retention_${table}${suffix}`,
    text: `with known as (
        select run_id from ${table}${suffix} where run_id > $1 and run_id < $2 group by run_id order by run_id limit ${BATCH}),
      removed as (
        delete from ${table}${suffix} o using known
          where o.run_id = known.run_id and not exists (select from run where id = known.run_id)
          returning 1)
      select (select max(run_id) from known) as last, (select count(*)::integer from removed) as rows`,
  }
}
