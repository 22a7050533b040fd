import type { StepOutcome } from '../../../engine/host.js'
import type { Sql } from '../../../platform/database/sql.js'
import type { Logged } from '../host/log-budget.js'

/** The last event that is recorded of these runs, of those that have any. */
export async function lastEventsOf(sql: Sql, ids: string[]): Promise<{ run_id: string; last: number }[]> {
  return await sql.query<{ run_id: string; last: number }>(
    {
      name: 'run_last_event',
      // A cancel that came right behind the claim has left a chunk below all others.
      text: 'select run_id, greatest(max(last_seq), 0) as last from run_event_chunk where run_id = any ($1) group by run_id',
    },
    [ids],
  )
}

/** How much these runs have logged. */
export async function logsOf(sql: Sql, runIds: string[]): Promise<Map<string, Logged>> {
  if (runIds.length === 0) return new Map()
  const rows = await sql.query<{ run_id: string; lines: number; chars: number }>(
    {
      name: 'run_logged',
      text: `select c.run_id, count(*)::integer as lines, sum(length(e.entry::text))::float8 as chars
        from run_event_chunk c cross join lateral json_array_elements(c.entries) as e (entry)
        where c.run_id = any ($1) and e.entry ->> 'type' = 'log' group by c.run_id`,
    },
    [runIds],
  )
  return new Map(rows.map(({ run_id, lines, chars }) => [run_id, { lines, chars }]))
}

interface Told {
  starts: string[]
  ends: string[]
}

/** The paths of the visits whose beginnings and ends events tell of, by run. */
export async function toldOfVisits(sql: Sql, runIds: string[]): Promise<Map<string, Told>> {
  if (runIds.length === 0) return new Map()
  const rows = await sql.query<Told & { run_id: string }>(
    {
      name: 'run_told',
      text: `select run_id, coalesce(array_agg(path) filter (where type = 'node_started'), '{}') as starts,
          coalesce(array_agg(path) filter (where type <> 'node_started'), '{}') as ends
        from run_event_chunk c cross join lateral json_to_recordset(c.entries) as e (type text, path text)
        where c.run_id = any ($1) and type in ('node_started', 'node_completed', 'node_failed') and path is not null
        group by run_id`,
    },
    [runIds],
  )
  return new Map(rows.map((row) => [row.run_id, row]))
}

/** Items of a batch have no events of their own, and what was carried over from an earlier run was told of there. */
export function untold(createdAt: Date, history: readonly StepOutcome[], told: ReadonlySet<string>): StepOutcome[] {
  return history
    .filter(({ finishedAt }) => finishedAt >= createdAt)
    .filter(({ state, path }) => state !== 'retrying' && !path.endsWith(']') && !told.has(path))
    .sort((one, other) => one.finishedAt.getTime() - other.finishedAt.getTime())
}
