import { LOCKS } from '../../../platform/database/advisory-locks.js'
import type { Sql, Statement } from '../../../platform/database/sql.js'

/** Tables that are kept in one part for each week of runs. */
export const WEEKLY = ['step_outcome', 'run_event_chunk'] as const

export type WeeklyTable = (typeof WEEKLY)[number]

/** Weeks from the present one on that have their partitions: a keeper that fails for this long does no harm. */
const WEEKS_AHEAD = 5
const WEEK_MS = 7 * 86_400_000

/** Making and dropping partitions waits for whoever reads the table, and everybody waits behind it: so it does not wait for long. */
const PATIENCE: Statement = { name: 'partition_patience', text: `select set_config('lock_timeout', '500ms', true)` }

const MAKE: Statement = { name: 'partition_make', text: 'select run_partitions($1::timestamptz, 1)' }

const WEEKS: Statement = {
  name: 'partition_weeks',
  text: `select week, "from", until, run_id_at(week::date::timestamp at time zone 'UTC') as first_id,
      run_id_at((week::date + 7)::timestamp at time zone 'UTC') as next_id
    from (
      select distinct substring(c.relname from '_(\\d{8})$') as week,
        to_date(substring(c.relname from '_(\\d{8})$'), 'YYYYMMDD')::timestamp at time zone 'UTC' as "from",
        (to_date(substring(c.relname from '_(\\d{8})$'), 'YYYYMMDD') + 7)::timestamp at time zone 'UTC' as until
      from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = any ($1::text[]::regclass[]) and c.relname ~ '_\\d{8}$') as weeks
    where until <= $2
    order by week`,
}

/** What no week's partition holds. */
const REST: Statement = {
  name: 'partition_rest',
  text: `select case when exists (select from step_outcome_rest) then array['step_outcome_rest'] else '{}' end
      || case when exists (select from run_event_chunk_rest) then array['run_event_chunk_rest'] else '{}' end as filled`,
}

/** A week of runs that is over. */
export interface Week {
  /** Its Monday, such as `20260105`. */
  week: string
  from: Date
  until: Date
  /** Ids of its runs are from here on, and before `next_id`. */
  first_id: string
  next_id: string
}

/** The partitions of what runs did, by week. */
export class Partitions {
  constructor(private readonly sql: Sql) {}

  /** Makes those of this week and the coming ones that are not there yet. A week that cannot be made stops no other. */
  async makeAhead(now: Date): Promise<void> {
    const failures: unknown[] = []
    for (let week = 0; week < WEEKS_AHEAD; week++) {
      const at = new Date(now.getTime() + week * WEEK_MS)
      await this.sql
        .transaction(async (tx) => {
          await tx.query(PATIENCE)
          await tx.query(MAKE, [at])
        })
        .catch((error) => failures.push(error))
    }
    if (failures.length > 0) throw new AggregateError(failures, (failures[0] as Error).message)
  }

  /** The weeks with partitions that were over at that time, the earliest first. */
  async over(at: Date): Promise<Week[]> {
    return await this.sql.query<Week & object>(WEEKS, [WEEKLY, at])
  }

  async drop({ week }: Week): Promise<void> {
    await this.sql.transaction(async (tx) => {
      await tx.query(PATIENCE)
      await tx.query({
        name: 'partition_turn',
        text: `select pg_advisory_xact_lock(${LOCKS.partitions}, 0)`,
      })
      const tables = WEEKLY.map((table) => `${table}_${week}`).join(', ')
      await tx.query({ name: `partition_drop_${week}`, text: `drop table if exists ${tables}` })
    })
  }

  /** The default partitions that hold anything: nobody has made the weeks that it belongs to. */
  async filledRests(): Promise<string[]> {
    const [row] = await this.sql.query<{ filled: string[] }>(REST)
    return row?.filled ?? []
  }
}
